"""Prompts of models in the style of R1-Distill, Qwen3 and Llama, and of a base model."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from chat_families import FAMILIES, TEMPLATES
from ssgr.__main__ import main
from ssgr.config import Model, Sampling
from ssgr.errors import ConfigError, ModelError, PoolError
from ssgr.jobs import specs
from ssgr.pool import store
from ssgr.sampling import PromptFormat, load_tokenizer, render_prompt
from ssgr.sampling.prompts import (
    opens_thinking,
    prompt_text,
    prompt_text_without_thinking,
    prompt_token_ids,
)
from ssgr.storage import tables

ENTRIES = yaml.safe_load(
    """
r1-distill: {path: org/r1, prompt: "{question} Box it."}
r1-distill-early: {path: org/r1-early, prompt: "{question} Box it."}
qwen3:
  {path: org/qwen3, prompt: "{question} Box it.", chat_template_kwargs: {enable_thinking: true}}
qwen3-off: {path: org/qwen3, prompt: "{question}", chat_template_kwargs: {enable_thinking: false}}
llama3: {path: org/llama3, prompt: "{question} Box it.", think_open: "", think_close: ""}
llama3-system: {path: org/llama3, prompt: "{question}", system: Think first.}
r1-system: {path: org/r1, prompt: "{question}", system: Think first.}
base: {path: org/base, prompt: "Q: {question}\\nA:", chat: false, think_open: "", think_close: ""}
"""
)
FAMILY = {"qwen3-off": "qwen3", "llama3-system": "llama3", "r1-system": "r1-distill"}
PROMPTS = {
    "r1-distill": "<|begin_of_sentence|><|User|>1+{x}? Box it.<|Assistant|><think>\n",
    "r1-distill-early": "<|begin_of_sentence|><|User|>1+{x}? Box it.<|Assistant|>",
    "qwen3": "<|im_start|>user\n1+{x}? Box it.<|im_end|>\n<|im_start|>assistant\n",
    "qwen3-off": "<|im_start|>user\n1+{x}?<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n",
    "llama3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n1+{x}? Box it."
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama3-system": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nThink first."
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1+{x}?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "r1-system": "<|begin_of_sentence|>Think first.<|User|>1+{x}?<|Assistant|><think>\n",
    "base": "<|begin_of_text|>Q: 1+{x}?\nA:",
}
WITHOUT_THINKING = PROMPTS | {
    "r1-distill": "<|begin_of_sentence|><|User|>1+{x}? Box it.<|Assistant|>",
    "r1-system": "<|begin_of_sentence|>Think first.<|User|>1+{x}?<|Assistant|>",
    "qwen3": "<|im_start|>user\n1+{x}? Box it.<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n",
}
QUESTION = "1+{x}?"


def model(name: str) -> Model:
    return Model.model_validate(ENTRIES[name])


def tokenizer(name: str) -> PreTrainedTokenizerFast:
    return FAMILIES[FAMILY.get(name, name)].tokenizer()


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_is_what_the_family_reads(name: str) -> None:
    own = tokenizer(name)
    ids = render_prompt(own, QUESTION, PromptFormat.of(model(name)))
    assert own.decode(ids) == PROMPTS[name]
    assert own.unk_token_id not in ids
    if own.bos_token:
        assert own("x")["input_ids"][0] == own.bos_token_id  # it would write a second one
        assert ids.count(own.bos_token_id) == 1
        assert ids[0] == own.bos_token_id
    assert opens_thinking(PROMPTS[name], "<think>") == (name in ("r1-distill", "r1-system"))


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_for_an_answer_without_thinking(name: str) -> None:
    own = tokenizer(name)
    text = prompt_text_without_thinking(own, QUESTION, model(name))
    ids = prompt_token_ids(own, text, PromptFormat.of(model(name)))
    assert own.decode(ids) == WITHOUT_THINKING[name]


@pytest.mark.parametrize("name", ["r1-distill", "r1-distill-early", "qwen3", "llama3"])
def test_such_a_prompt_and_its_answer_are_a_turn_as_the_template_writes_it(name: str) -> None:
    own = tokenizer(name)
    turns = [
        {"role": "user", "content": "1+{x}? Box it."},
        {"role": "assistant", "content": "Two."},
    ]
    prompt = prompt_text_without_thinking(own, QUESTION, model(name))
    whole = str(own.apply_chat_template(turns, tokenize=False))
    assert whole.rstrip() == prompt + "Two." + own.eos_token


def test_the_templates_drop_the_thinking_of_turns_that_are_over() -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"},
        {"role": "user", "content": "c"},
    ]
    for name, kept in (("r1-distill", 1), ("r1-distill-early", 0), ("qwen3", 0)):
        own = tokenizer(name)
        text = str(own.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        assert "hm" not in text
        assert text.count("<think>") == kept  # only the one that the prompt opens


def test_switches_of_an_entry_come_before_our_own() -> None:
    own = tokenizer("qwen3")
    entry = model("qwen3").model_copy(update={"no_thinking_kwargs": {}})
    assert prompt_text_without_thinking(own, QUESTION, entry) == PROMPTS["qwen3"]
    entry = entry.model_copy(update={"no_thinking_kwargs": {"thinkin": False}})
    with pytest.raises(ConfigError, match="knows no switch 'thinkin'"):
        prompt_text_without_thinking(own, QUESTION, entry)


def test_what_a_template_cannot_do_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"knows no switch 'enable_thinking'.*leave it out"):
        prompt_text(tokenizer("llama3"), "1", PromptFormat.of(model("qwen3")))
    with pytest.raises(ModelError, match=r"no chat template.*`chat: false`"):
        render_prompt(tokenizer("base"), "1", "{question}")
    own = tokenizer("llama3")
    own.chat_template = "{{ messages[-1].content }}"
    with pytest.raises(ModelError, match="leaves the system prompt out"):
        prompt_text(own, "1", PromptFormat("{question}", system="Think."))
    own.chat_template = "{{ raise_exception('only users speak') }}"
    with pytest.raises(ModelError, match="refuses the turns of the prompt: only users speak"):
        prompt_text(own, "1", PromptFormat("{question}", system="Think."))


def test_plain_text_has_no_end_before_it_is_answered() -> None:
    from tokenizers.processors import TemplateProcessing

    own = tokenizer("base")
    ends = [(token, own.convert_tokens_to_ids(token)) for token in (own.bos_token, own.eos_token)]
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{own.bos_token} $A {own.eos_token}", special_tokens=ends
    )
    assert own("x")["input_ids"][-1] == own.eos_token_id
    ids = render_prompt(own, QUESTION, PromptFormat.of(model("base")))
    assert own.decode(ids) == PROMPTS["base"]


@pytest.mark.parametrize("name", ["r1-distill", "qwen3", "llama3", "base"])
def test_a_model_is_one_entry_from_its_folder_to_its_responses(name: str, tmp_path: Path) -> None:
    folder = FAMILIES[FAMILY.get(name, name)].save(tmp_path / "model")
    entry = Model.model_validate({**ENTRIES[name], "path": str(folder), "gpu": 0})
    problems = pl.DataFrame(
        {"problem_id": ["a"], "question": [QUESTION], "answer": ["2"], "solution": [None],
         "subject": [None], "level": [None]},
    )  # fmt: skip
    tables.write(problems, tables.Problems, tmp_path / "problems.parquet")
    out = tmp_path / "responses.parquet"
    asked = json.dumps(specs.model_asked(entry.for_evaluation()))
    flags = ["--sampling.n", "2", "--sampling.max-tokens", "8", "--out", str(out)]
    files = ["--problems", str(tmp_path / "problems.parquet")]
    assert main(["sample", *files, "--model", asked, *flags]) == 0
    responses = tables.read(out, tables.Responses)
    own = load_tokenizer(str(folder))
    assert [own.decode(ids) for ids in responses["prompt_token_ids"]] == [PROMPTS[name]] * 2


class TestEntry:
    """What of a registry entry enters the pool's manifest, and what is refused."""

    def test_an_entry_without_the_new_fields_makes_the_manifest_of_before(self) -> None:
        entry = Model(path="org/m", prompt="{question}", role="Some-7B")
        manifest = store.manifest(entry, Sampling(n=4))
        assert manifest["prompt"] == "{question}"
        assert sorted(manifest) == ["engine", "model", "prompt", "sampling", "version"]
        assert specs.model_asked(entry) == {
            "path": "org/m",
            "revision": None,
            "engine": "transformers",
            "dtype": "auto",
            "prompt": "{question}",
            "trust_remote_code": False,
        }

    @pytest.mark.parametrize(
        "changes",
        [{"system": ""}, {"chat": False}, {"chat_template_kwargs": {"enable_thinking": True}}],
    )
    def test_whatever_changes_the_prompt_is_another_pool(
        self, changes: dict[str, object], tmp_path: Path
    ) -> None:
        plain = {"path": "org/m", "prompt": "{question}"}
        entry, other = Model.model_validate(plain), Model.model_validate(plain | changes)
        assert Model.model_validate(specs.model_asked(other)) == other
        first, second = (store.manifest(each, Sampling(n=4)) for each in (entry, other))
        for name, mine, wanted in (("a", first, second), ("b", second, first)):
            store.claim(tmp_path / name, mine)
            (tmp_path / name / "000000-000001.parquet").touch()  # something was drawn under it
            assert store.check_manifest(tmp_path / name, mine)
            with pytest.raises(PoolError, match=r"says prompt = .*A pool never mixes two"):
                store.check_manifest(tmp_path / name, wanted)

    def test_a_model_whose_template_closes_the_thinking_has_no_tags(self) -> None:
        assert (model("qwen3-off").think_open, model("qwen3-off").think_close) == ("", "")
        assert model("qwen3").think_close == "</think>"
        kept = Model.model_validate(ENTRIES["qwen3-off"] | {"think_close": "</t>"})
        assert kept.think_close == "</t>"

    def test_what_a_calibration_set_told_anew_depends_on(self) -> None:
        entry = Model.model_validate(ENTRIES["qwen3"] | {"no_thinking_kwargs": {"quiet": True}})
        again = Model.model_validate(specs.model_rendered(entry))
        assert again == entry
        assert "engine" not in specs.model_rendered(entry)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"chat": False, "system": "Think."}, "belong to `chat: true`"),
            ({"chat_template_kwargs": {"tokenize": True}}, "tokenize: this the pipeline sets"),
            ({"no_thinking_kwargs": {"tools": "no"}}, "tools: this the pipeline sets"),
        ],
    )
    def test_contradictions_are_refused(self, changes: dict[str, object], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            Model.model_validate({"path": "org/m"} | changes)


def test_every_template_of_the_folder_is_described_and_tested() -> None:
    files = {path.name for path in TEMPLATES.glob("*.jinja")}
    assert files == {family.template for family in FAMILIES.values() if family.template}
    assert all(f"`{name}`" in (TEMPLATES / "README.md").read_text() for name in files)
