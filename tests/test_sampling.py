"""Sampling: no response depends on its batch, and every token is drawn as the spec says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, TopPLogitsWarper
from transformers import __version__ as VERSION

from ssgr.config import Sampling
from ssgr.errors import ConfigError, ModelError, TableError
from ssgr.sampling import load_engine, load_tokenizer, render_prompt, response_seed, sample
from ssgr.sampling.engines import ENGINES, PACKAGES, versions
from ssgr.sampling.protocol import (
    Engine,
    Everything,
    Prompt,
    Request,
    Response,
    Work,
    check_lengths,
)
from ssgr.sampling.transformers.engine import TransformersEngine
from ssgr.sampling.transformers.kv_cache import SlotCache, keys_and_values
from ssgr.sampling.transformers.token_sampling import HEAD, UniformStream, draw
from ssgr.storage.tables import Responses
from tiny_language import MODELS, character_tokenizer, save_folder, tiny_model

LENGTHS = (3, 17, 9, 30, 5, 12)
PROMPTS = [
    Prompt(f"p{i}", tuple(4 + (7 * i + 5 * j) % 100 for j in range(length)))
    for i, length in enumerate(LENGTHS)
]
SAMPLING = Sampling(n=5, temperature=1.0, top_p=0.9, max_tokens=24, seed=3)


def run(
    model: PreTrainedModel,
    prompts: list[Prompt] = PROMPTS,
    sampling: Sampling = SAMPLING,
    slots: int = 8,
) -> dict[tuple[str, int], Response]:
    work = Everything(prompts, sampling.n)
    responses = list(TransformersEngine(model, slots).generate(work, sampling))
    return {(response.problem_id, response.sample): response for response in responses}


def same_text(
    left: dict[tuple[str, int], Response], right: dict[tuple[str, int], Response]
) -> bool:
    return {key: r.token_ids for key, r in left.items()} == {
        key: r.token_ids for key, r in right.items()
    }


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_model()


@pytest.fixture(scope="module")
def responses(model: PreTrainedModel) -> dict[tuple[str, int], Response]:
    return run(model)


@pytest.fixture
def forwards(model: PreTrainedModel) -> Any:
    """The (rows, query length) of every forward pass."""
    shapes: list[tuple[int, int]] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    yield shapes
    hook.remove()


@pytest.mark.parametrize("family", MODELS)
def test_slots_of_different_lengths_give_the_logits_of_a_plain_forward(family: str) -> None:
    plain, model = tiny_model(family), tiny_model(family)
    TransformersEngine(model)  # switches its attention
    sequences = [
        [4 + (11 * i + 3 * j) % 100 for j in range(n)] for i, n in enumerate((90, 35, 61, 20))
    ]
    starts = (80, 5, 61 - 15, 1)  # positions computed as the prompt
    with torch.inference_mode():
        prompts = [
            keys_and_values(model(torch.tensor([s[:k]]), use_cache=True).past_key_values)
            for s, k in zip(sequences, starts, strict=True)
        ]
        cache = SlotCache(4, prompts[0])
        for row, prompt in enumerate(prompts):
            cache.place(prompt, [row])
        rows = [0, 1, 2, 3]
        for step in range(15):
            if step == 10:  # row 0 is done: the last row moves there
                cache.move_last(0)
                rows = [3, 1, 2]
            tokens = [sequences[r][starts[r] + step] for r in rows]
            positions, mask = cache.advance()
            logits = model(
                input_ids=torch.tensor(tokens)[:, None],
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
            ).logits[:, -1]
            for i, r in enumerate(rows):
                whole = plain(torch.tensor([sequences[r][: starts[r] + step + 1]])).logits[0, -1]
                torch.testing.assert_close(logits[i], whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", MODELS)
def test_temperature_zero_is_greedy_generate(family: str) -> None:
    model, plain = tiny_model(family), tiny_model(family)
    greedy = Sampling(n=2, temperature=0, top_p=1.0, max_tokens=30, seed=0)
    responses = run(model, sampling=greedy)
    for prompt in PROMPTS:
        ids = torch.tensor([prompt.token_ids])
        expected = plain.generate(ids, do_sample=False, max_new_tokens=30)[0, ids.shape[1] :]
        for k in range(2):
            assert list(responses[prompt.problem_id, k].token_ids) == expected.tolist()


@pytest.mark.parametrize("slots", [1, 2, 7, 64])
def test_batch_size_never_changes_a_response(
    model: PreTrainedModel, slots: int, responses: dict[tuple[str, int], Response]
) -> None:
    assert same_text(responses, run(model, slots=slots))


def test_order_and_shards_never_change_a_response(
    model: PreTrainedModel, responses: dict[tuple[str, int], Response]
) -> None:
    assert same_text(responses, run(model, prompts=PROMPTS[::-1]))
    assert same_text(responses, run(model, PROMPTS[:2]) | run(model, PROMPTS[2:], slots=3))


def test_fewer_samples_are_the_first_of_more(
    model: PreTrainedModel, responses: dict[tuple[str, int], Response]
) -> None:
    few = run(model, sampling=SAMPLING.model_copy(update={"n": 2}))
    assert same_text(few, {key: responses[key] for key in few})


def test_samples_and_seeds_differ(
    model: PreTrainedModel, responses: dict[tuple[str, int], Response]
) -> None:
    # two may both be a likely short answer
    assert len({response.token_ids for response in responses.values()}) > 0.9 * len(responses)
    other = run(model, sampling=SAMPLING.model_copy(update={"seed": 4}))
    assert not same_text(responses, other)


def test_prompt_is_computed_once_and_finished_sequences_leave(
    model: PreTrainedModel, forwards: list[tuple[int, int]]
) -> None:
    responses = run(model, slots=4)
    computed = [shape for shape in forwards if shape[1] > 1]
    assert computed == [(1, length) for length in LENGTHS]
    decoded = [rows for rows, length in forwards if length == 1]
    # each token but a response's first is one row of one step: nothing finished is computed on
    assert sum(decoded) == sum(len(r.token_ids) - 1 for r in responses.values())
    assert max(decoded) == 4
    # rows are refilled: only the last few steps run below 4
    assert decoded.index(next(rows for rows in decoded if rows < 4)) > 0.7 * len(decoded)


class Ledger:
    """Work that writes down what is in flight when it is asked, and grows while it is done."""

    def __init__(self, requests: list[Request]) -> None:
        self.waiting = requests
        self.taken = 0
        self.answered = 0
        self.most = 0

    def take(self, wait: bool) -> Request | None:
        assert wait == (self.taken == self.answered)
        if not self.waiting:
            return None
        self.taken += 1
        self.most = max(self.most, self.taken - self.answered)
        return self.waiting.pop(0)


def test_work_may_grow_and_shrink_between_two_responses(
    model: PreTrainedModel, responses: dict[tuple[str, int], Response]
) -> None:
    work = Ledger([Request(PROMPTS[0], k) for k in range(5)])
    drawn = {}
    for response in TransformersEngine(model, 3).generate(work, SAMPLING):
        work.answered += 1
        drawn[response.problem_id, response.sample] = response
        if len(drawn) == 1:
            work.waiting.clear()  # what nobody took yet is withdrawn
        if len(drawn) == 3:  # all that was in flight: the engine would end here
            work.waiting = [Request(PROMPTS[3], 4), Request(PROMPTS[1], 0), Request(PROMPTS[3], 1)]
        if len(drawn) == 4:
            work.waiting.append(Request(PROMPTS[0], 4))
    assert work.most == 3
    wanted = {("p0", 0), ("p0", 1), ("p0", 2), ("p3", 4), ("p1", 0), ("p3", 1), ("p0", 4)}
    assert same_text(drawn, {key: responses[key] for key in wanted})


def test_requests_of_a_prompt_in_a_row_share_its_forward_pass(
    model: PreTrainedModel, forwards: list[tuple[int, int]]
) -> None:
    order = [(3, 0), (3, 1), (3, 2), (1, 0), (3, 3)]  # one late request of an earlier prompt
    work = Ledger([Request(PROMPTS[i], k) for i, k in order])
    for _ in TransformersEngine(model, 2).generate(work, SAMPLING):
        work.answered += 1
    assert [shape for shape in forwards if shape[1] > 1] == [(1, 30), (1, 17), (1, 30)]


def test_stop_and_length(responses: dict[tuple[str, int], Response]) -> None:
    reasons = {response.finish_reason for response in responses.values()}
    assert reasons == {"stop", "length"}
    for response in responses.values():
        assert 0 not in response.token_ids[:-1]
        stopped = response.finish_reason == "stop"
        assert stopped == (response.token_ids[-1] == 0)
        assert stopped or len(response.token_ids) == SAMPLING.max_tokens


def test_every_end_token_of_the_generation_config_stops() -> None:
    model = tiny_model()
    model.generation_config.eos_token_id = [0, 50, 51, 52, 53, 54, 55, 56]
    ends = {response.token_ids[-1] for response in run(model).values()}
    assert len(ends & {50, 51, 52, 53, 54, 55, 56}) > 1


def test_one_token_responses_never_reach_the_batch(
    model: PreTrainedModel, forwards: list[tuple[int, int]]
) -> None:
    responses = run(model, sampling=SAMPLING.model_copy(update={"max_tokens": 1}))
    assert len(responses) == len(PROMPTS) * SAMPLING.n
    assert len(forwards) == len(PROMPTS)


def test_mean_logprob_is_the_full_softmax_at_temperature_one(model: PreTrainedModel) -> None:
    sharp = Sampling(n=2, temperature=0.5, top_p=0.8, max_tokens=20, seed=1)
    for (problem_id, _), response in run(model, sampling=sharp).items():
        prompt = PROMPTS[int(problem_id[1:])].token_ids
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + response.token_ids])).logits[0]
        logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        expected = logprobs.gather(1, torch.tensor(response.token_ids)[:, None]).mean().item()
        assert response.mean_logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("spread", [0.3, 3.0])  # nucleus wider and narrower than HEAD
def test_draws_stay_inside_the_nucleus(top_p: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 150, generator=generator) * spread
    uniforms = torch.rand(200, generator=generator)
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-24])
    tokens, _ = draw(logits, uniforms, 0.6, top_p)
    kept = TopPLogitsWarper(top_p)(None, logits / 0.6).isfinite()  # [rows, vocabulary]
    assert kept.gather(1, tokens[:, None]).all()
    assert (kept.sum(1) > HEAD).any() == (spread == 0.3 and top_p > 0.1)


def test_the_largest_and_smallest_uniform_take_the_ends_of_the_nucleus() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(4, 1)
    uniforms = torch.tensor([0.0, 0.62, 0.64, 1 - 2**-24])  # 0.5 / 0.8 = 0.625
    assert draw(logits, uniforms, 1.0, 0.7)[0].tolist() == [0, 0, 1, 1]
    assert draw(logits, uniforms, 1.0, 1.0)[0].tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize(("top_p", "vocabulary"), [(1.0, 40), (0.9, 12), (0.9, 90)])
def test_draws_follow_the_softmax(top_p: float, vocabulary: int) -> None:
    draws = 20_000
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(vocabulary, generator=generator)
    streams = [UniformStream(response_seed(0, "p", k)) for k in range(draws // 100)]
    uniforms = torch.tensor([stream.next() for stream in streams for _ in range(100)])
    tokens, _ = draw(logits.expand(draws, -1), uniforms, 0.7, top_p)
    expected = TopPLogitsWarper(top_p)(None, logits[None] / 0.7).softmax(-1)[0].double() * draws
    counts = tokens.bincount(minlength=vocabulary).double()
    inside = expected > 0
    assert counts[~inside].sum() == 0
    chi_square = ((counts - expected)[inside] ** 2 / expected[inside]).sum().item()
    freedom = int(inside.sum()) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_seeds_are_stable_consecutive_and_apart() -> None:
    base = response_seed(0, "abc", 0)
    assert base == 1430130398139878314  # a pool sampled yesterday must continue today
    assert [response_seed(0, "abc", k) - base for k in range(3)] == [0, 1, 2]
    assert len({response_seed(s, p, 0) for s in range(20) for p in ("a", "b", "1", "11")}) == 80
    high, low = UniformStream(base + 2**32), UniformStream(base)
    assert high.next() != low.next()  # all bits of a seed count
    again = UniformStream(base)
    again.next()
    assert [again.next() for _ in range(600)] == [low.next() for _ in range(600)]


def test_a_row_is_not_changed_by_what_its_slot_held_before(model: PreTrainedModel) -> None:
    long_first = [PROMPTS[3], *PROMPTS[:3]]
    alone = run(model, prompts=PROMPTS[:3], slots=1)
    assert same_text(
        alone, {k: r for k, r in run(model, long_first, slots=1).items() if k in alone}
    )


def test_broken_models_and_lengths_are_clear_errors() -> None:
    nan = tiny_model()
    with torch.no_grad():
        nan.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"not finite at token 0 of response 0 to problem 'p0'"):
        run(nan)
    short = TransformersEngine(tiny_model(max_position_embeddings=59)).max_length
    with pytest.raises(ModelError, match=r"'p3' has 30 prompt tokens.*59 positions.*Lower"):
        check_lengths(PROMPTS, Sampling(max_tokens=30, seed=0), short)
    with pytest.raises(ModelError, match="prompt of problem 'none' is empty"):
        check_lengths([Prompt("none", ())], SAMPLING, None)
    sliding = tiny_model(use_sliding_window=True, sliding_window=8, max_window_layers=0)
    with pytest.raises(ModelError, match="full attention in every layer"):
        run(sliding)
    with pytest.raises(ModelError, match="depends on the longest sequence"):
        rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        run(tiny_model(rope_parameters=rope))
    endless = tiny_model(eos_token_id=None)
    endless.generation_config.eos_token_id = None
    with pytest.raises(ModelError, match="names no end token"):
        run(endless)


def test_prompt_is_the_chat_template_with_the_question_put_in_literally() -> None:
    tokenizer = character_tokenizer()
    ids = render_prompt(tokenizer, r"What is \frac{1}{2} {x}?", r"{question} Put it in \boxed{}.")
    text = r"<user>What is \frac{1}{2} {x}? Put it in \boxed{}.<assistant>"
    assert tokenizer.decode(ids) == text
    with pytest.raises(ConfigError, match=r"has no \{question\}"):
        render_prompt(tokenizer, "1+1", "Put it in a box.")
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        render_prompt(tokenizer, "1+1", "{question}")


def test_a_folder_without_tokenizer_or_weights_is_a_clear_error(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match=r"tokenizer.*model"):
        load_tokenizer(str(tmp_path / "model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be loaded as a causal LM"):
        load_engine("transformers", str(tmp_path / "empty"))
    weights = tmp_path / "model" / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks the weights.*layers\.1\.mlp\.up_proj"):
        load_engine("transformers", str(tmp_path / "model"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded as a causal LM"):
        load_engine("transformers", str(tmp_path / "model"))


def test_engines_that_do_not_exist_or_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"'vlm'.*Did you mean 'vllm'"):
        load_engine("vlm", "folder")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"not usable.*envs/vllm-cpu\.txt"):
        load_engine("vllm", "folder")


def test_versions_are_those_of_the_engine() -> None:
    torch_version = metadata.version("torch")
    assert versions("transformers") == {"torch": torch_version, "transformers": VERSION}
    assert set(versions("server")) <= {"openai"}
    with pytest.raises(ConfigError, match=r"'transformer'.*Did you mean 'transformers'"):
        versions("transformer")
    assert set(PACKAGES) == set(ENGINES)


def test_the_engine_interface_does_not_load_torch() -> None:
    code = (
        "import sys, ssgr.sampling.seeds, ssgr.sampling.engines as engine;"
        "[engine.versions(name) for name in engine.ENGINES];"
        "sys.exit(bool({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_sample_makes_a_responses_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(save_folder(tmp_path / "model"))
    tokenizer = load_tokenizer(folder)
    problems = pl.DataFrame(
        {"problem_id": ["b", "a"], "question": ["1+1?", "What is {x}?"], "answer": ["2", "3"]}
    )
    asked: list[int] = []

    def load(length: int) -> Engine:
        asked.append(length)
        return load_engine("transformers", folder, batch_size=4, max_length=length)

    sampled = sample(
        problems,
        name="tiny",
        template="{question}",
        sampling=SAMPLING,
        engine=load,
        tokenizer=tokenizer,
    )
    table = sampled.responses
    assert asked == [len(table["prompt_token_ids"][0]) + SAMPLING.max_tokens]
    assert sampled.seconds > 0
    assert Responses.is_valid(table)
    assert table["problem_id"].to_list() == ["a"] * 5 + ["b"] * 5
    assert table["sample"].to_list() == [*range(5), *range(5)]
    assert table["tokens"].to_list() == table["token_ids"].list.len().to_list()
    assert tokenizer.decode(table["prompt_token_ids"][0]) == "<user>What is {x}?<assistant>"
    for ids, text in table.select("token_ids", "text").iter_rows():
        assert text == tokenizer.decode([token for token in ids if token > 3])
    assert re.search(r"2/2 .*10 responses, [\d,]+ tokens/s", capsys.readouterr().err)


class FixedEngine:
    """Answers every prompt with the same tokens."""

    def __init__(self, token_ids: list[int]) -> None:
        self.token_ids = tuple(token_ids)
        self.max_length = None

    def close(self) -> None:
        pass

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        while request := work.take(wait=True):
            yield Response(request.prompt.problem_id, request.sample, self.token_ids, "stop", None)


def test_text_keeps_think_tags_and_drops_the_end_token() -> None:
    tokenizer = character_tokenizer()
    ids = tokenizer("<think>1+1</think> \\boxed{2}<end>")["input_ids"]
    problems = pl.DataFrame({"problem_id": ["a"], "question": ["1+1?"]})
    one = Sampling(n=1)

    def draw_all(questions: pl.DataFrame) -> pl.DataFrame:
        return sample(
            questions,
            name="m",
            template="{question}",
            sampling=one,
            engine=lambda _: FixedEngine(ids),
            tokenizer=tokenizer,
        ).responses

    table = draw_all(problems)
    assert table["text"].to_list() == ["<think>1+1</think> \\boxed{2}"]
    assert table["token_ids"].to_list() == [ids]
    with pytest.raises(TableError, match="'a'"):
        draw_all(pl.concat([problems] * 2))


class SteppedEngine:
    """Stands in for vLLM's LLMEngine: finishes one request a step, the newest first."""

    def __init__(self, reason: str = "stop", end: int | None = 0) -> None:
        self.model_config = SimpleNamespace(
            max_model_len=100,
            try_get_generation_config=lambda: {"eos_token_id": end},
            hf_config=SimpleNamespace(eos_token_id=None),
            model="tiny",
        )
        self.requests: list[tuple[str, Any, Any]] = []
        self.most = 0
        self.reason = reason

    def add_request(self, request_id: str, prompt: Any, parameters: Any) -> None:
        self.requests.append((request_id, prompt, parameters))
        self.most = max(self.most, len(self.requests))

    def abort_request(self, request_ids: list[str]) -> None:
        self.requests = [request for request in self.requests if request[0] not in request_ids]

    def step(self) -> list[Any]:
        if self.reason == "dead":
            raise RuntimeError("out of memory")
        request_id, prompt, parameters = self.requests.pop()
        tokens = [*prompt["prompt_token_ids"][:2], parameters["seed"] % 1000]
        completion = SimpleNamespace(token_ids=tokens, finish_reason=self.reason)
        done = SimpleNamespace(request_id=request_id, finished=True, outputs=[completion])
        return [SimpleNamespace(request_id="other", finished=False, outputs=[]), done]


def test_vllm_requests_carry_the_seed_of_their_response(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = SimpleNamespace(RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"))
    monkeypatch.setitem(
        sys.modules, "vllm", SimpleNamespace(SamplingParams=dict, TokensPrompt=dict)
    )
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", parameters)
    from ssgr.sampling.vllm.engine import VllmEngine

    stepped = SteppedEngine()
    work = Everything(PROMPTS, SAMPLING.n)
    responses = list(VllmEngine(stepped, 4).generate(work, SAMPLING))
    assert stepped.most == 8
    assert len({(r.problem_id, r.sample) for r in responses}) == len(PROMPTS) * SAMPLING.n
    for response in responses:
        prompt = PROMPTS[int(response.problem_id[1:])]
        seed = response_seed(3, response.problem_id, response.sample)
        assert response.token_ids == (*prompt.token_ids[:2], seed % 1000)
        assert (response.finish_reason, response.mean_logprob) == ("stop", None)
    drawing = VllmEngine(stepped, 4).generate(Everything(PROMPTS, 5), SAMPLING)
    next(drawing)
    seen = list(stepped.requests)
    assert len(seen) == 7
    drawing.close()  # the consumer leaves: vLLM must not go on
    assert not stepped.requests
    assert all(parameters["stop_token_ids"] == [0] for _, _, parameters in seen)
    with pytest.raises(ModelError, match="'tiny' names no end token"):
        VllmEngine(SteppedEngine(end=None), 4)
    with pytest.raises(ModelError, match="'abort'"):
        list(VllmEngine(SteppedEngine("abort"), 4).generate(Everything(PROMPTS, 5), SAMPLING))
    with pytest.raises(ModelError, match=r"broke down with 8 responses in flight.*out of memory"):
        list(VllmEngine(SteppedEngine("dead"), 4).generate(Everything(PROMPTS, 5), SAMPLING))
