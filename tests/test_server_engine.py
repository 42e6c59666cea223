"""The engine `server` against a server that hangs, lies, breaks off, echoes keys and dies."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import misbehaving_server as bad
from misbehaving_server import Ask, Reply, completion, error, listing, serving
from ssgr.config import Sampling, Server
from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.protocol import EngineSettings, Everything, Prompt, Request, Response
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.server.engine import ServerEngine, load
from ssgr.sampling.server.fleet import SICK, Patience
from tiny_language import character_tokenizer, save_folder

KEY = "sk-do/not+show=me"
SAMPLING = Sampling(n=3, temperature=0.6, top_p=0.95, max_tokens=8, seed=1)
PROMPTS = [Prompt(f"p{i}", tuple(range(4, 8 + i))) for i in range(4)]
EVERY = {(prompt.problem_id, sample) for prompt in PROMPTS for sample in range(SAMPLING.n)}
QUICK = Patience(backoff=0.001, longest=0.01, rest=bad.PATIENT / 2, connect=10)
DEAD = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSGR_API_KEY", KEY)


def engine(
    folder: str, *urls: str, batch_size: int = 4, patience: Patience = QUICK, **server: Any
) -> ServerEngine:
    settings = {"name": bad.NAME, "timeout": bad.PATIENT, "retries": 3} | server
    served = Server(urls=list(urls), **settings)
    return load(folder, EngineSettings(batch_size=batch_size, server=served), patience)


class Watched:
    """Work that keeps the engine to its contract."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        self.open = 0  # taken and not yielded

    def take(self, wait: bool) -> Request | None:
        assert wait == (self.open == 0), "waits although something is in flight, or the reverse"
        if not self.requests:
            return None
        self.open += 1
        return self.requests.pop(0)


def draw(engine: ServerEngine, prompts: list[Prompt] = PROMPTS) -> dict[tuple[str, int], Response]:
    work = Watched([Request(prompt, k) for prompt in prompts for k in range(SAMPLING.n)])
    drawn = {}
    for response in engine.generate(work, SAMPLING):
        work.open -= 1
        drawn[response.problem_id, response.sample] = response
    return drawn


def expected() -> dict[tuple[str, int], tuple[int, ...]]:
    asks = {
        (p.problem_id, k): {"prompt": p.token_ids, "seed": response_seed(1, p.problem_id, k)}
        for p in PROMPTS
        for k in range(SAMPLING.n)
    }
    return {key: tuple(bad.tokens(Ask(body, 0, {}))) for key, body in asks.items()}


def ids(drawn: dict[tuple[str, int], Response]) -> dict[tuple[str, int], tuple[int, ...]]:
    return {key: response.token_ids for key, response in drawn.items()}


def first_then_fine(first: Reply, times: int) -> Callable[[Ask], Reply]:
    return lambda ask: first if ask.number < times else completion(ask)


def always(reply: Reply) -> Callable[[Ask], Reply]:
    return lambda ask: reply


def test_a_request_says_all_that_a_draw_depends_on(folder: str) -> None:
    with serving() as server:
        drawn = draw(engine(folder, server.url))
    assert ids(drawn) == expected()
    assert all(r.finish_reason == "stop" and r.mean_logprob == -0.5 for r in drawn.values())
    for ask in server.asks:
        said = {
            name: ask.body[name] for name in ("model", "n", "temperature", "top_p", "max_tokens")
        }
        assert said == {"model": "tiny", "n": 1, "temperature": 0.6, "top_p": 0.95, "max_tokens": 8}
        # else a server takes these from the model's generation_config.json
        assert (ask.body["top_k"], ask.body["min_p"], ask.body["repetition_penalty"]) == (-1, 0, 1)
        assert ask.body["return_token_ids"] is True and 0 <= ask.body["seed"] < 2**63
        assert ask.headers["authorization"] == f"Bearer {KEY}"


def test_batch_order_and_urls_never_change_a_response(folder: str) -> None:
    with serving() as server:
        one = draw(engine(folder, server.url, batch_size=1))
        many = draw(engine(folder, server.url, server.other_url, batch_size=64), PROMPTS[::-1])
    assert ids(one) == ids(many) == expected()


def test_batch_size_bounds_the_requests_in_flight_of_all_urls(folder: str) -> None:
    def together(ask: Ask) -> Reply:
        assert server.wait_until(lambda: server.peak == 5), "the engine does not fill its batch"
        return completion(ask)

    with serving(together) as server:
        assert ids(draw(engine(folder, server.url, server.other_url, batch_size=5))) == expected()
    assert server.peak == 5
    hosts = [ask.headers["host"].split(":")[0] for ask in server.asks[:5]]
    assert sorted((hosts.count("localhost"), hosts.count("127.0.0.1"))) == [2, 3]


def test_work_added_between_yields_is_done(folder: str) -> None:
    with serving() as server:
        work = Watched([Request(PROMPTS[0], 0)])
        seen = []
        for response in engine(folder, server.url).generate(work, SAMPLING):
            work.open -= 1
            seen.append((response.problem_id, response.sample))
            if len(seen) < 4:  # one more each time, then two at once
                work.requests += [Request(PROMPTS[len(seen)], k) for k in range(len(seen))]
    assert len(seen) == len(set(seen)) == 1 + 1 + 2 + 3


def test_no_work_is_no_request(folder: str) -> None:
    with serving() as server:
        assert list(engine(folder, server.url).generate(Watched([]), SAMPLING)) == []
    assert not server.asks


@pytest.mark.parametrize(
    "first",
    [
        error(500, "out of luck"),
        error(503, "starting"),
        error(429, "busy"),
        Reply(b"{'choices': oh dear"),
        Reply(b"<html><body>Bad gateway</body></html>"),
        Reply(b'{"object": "text_completion"}'),
        Reply(b'{"choices": []}'),
        Reply(b'{"choices": [{"text": 1, "finish_reason": "stop"}]}'),
        Reply(b'{"choices": [{"text": "", "finish_reason": "stop", "token_ids": ["5"]}]}'),
        Reply(b'{"choices": [{"text": "", "finish_reason": "stop", "token_ids": [99999]}]}'),
        Reply(b'{"choices": [{"text": "", "finish_reason": "stop", "token_ids": [-1, 0]}]}'),
        Reply(b'{"choices": [{"text": "", "finish_reason": null, "token_ids": [5]}]}'),
        Reply(b'{"choices": [{"text": "", "finish_reason": "abort", "token_ids": [5]}]}'),
        Reply(b'{"choices": [{"text": "half', cut=10),
        Reply(b"", cut=0),
        Reply(b'{"choices": [{"text": ""}]}', headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:20]!r}-{reply.body[-22:]!r}",
)
def test_what_may_pass_is_tried_again(folder: str, first: Reply) -> None:
    with serving(first_then_fine(first, times=2)) as server:
        assert ids(draw(engine(folder, server.url))) == expected()
    assert len(server.asks) == len(EVERY) + 2


def test_a_hanging_response_is_tried_again(folder: str) -> None:
    def hang_once(ask: Ask) -> Reply:
        return server.hang(ask) if ask.number == 0 else completion(ask)

    with serving(hang_once) as server:
        assert ids(draw(engine(folder, server.url, batch_size=1, timeout=1))) == expected()
    assert server.asks[0].body == server.asks[1].body


def test_a_server_that_only_hangs_is_an_error(folder: str) -> None:
    with serving(lambda ask: server.hang(ask)) as server:
        hanging = engine(folder, server.url, timeout=0.2, retries=1, batch_size=1)
        with pytest.raises(
            ModelError, match=r"response 0 to problem 'p0'.*attempts: 2, .*no answer within 0.2 s"
        ):
            draw(hanging)


def test_a_dripping_server_does_not_outlive_the_timeout(folder: str) -> None:
    """Bytes keep coming, so that no single read times out."""

    slow = Reply(b" " * 1000, drip=True)
    with (
        serving(always(slow)) as server,
        pytest.raises(ModelError, match=r"no answer within 0.3 s"),
    ):
        draw(engine(folder, server.url, timeout=0.3, retries=0, batch_size=1))
    with (
        serving(models=slow) as server,
        pytest.raises(ConfigError, match=r"(?s)No endpoint .* no answer within 0.3 s"),
    ):
        engine(folder, server.url, patience=Patience(connect=0.3))


def test_retry_after_is_heeded(folder: str) -> None:
    times: list[float] = []

    def busy(ask: Ask) -> Reply:
        times.append(time.monotonic())
        return error(429, "busy", Retry_After="0.4") if ask.number == 0 else completion(ask)

    with serving(busy) as server:
        assert ids(draw(engine(folder, server.url, batch_size=1))) == expected()
    assert times[1] - times[0] >= 0.4


@pytest.mark.parametrize("odd", ["soon", "-3", "Fri, 31 Dec 1999 23:59:59 GMT", "nan", ""])
def test_an_odd_retry_after_is_no_wait(folder: str, odd: str) -> None:
    busy = first_then_fine(error(503, "busy", Retry_After=odd), times=1)
    with serving(busy) as server:
        assert ids(draw(engine(folder, server.url, batch_size=1))) == expected()


def test_a_busy_url_leaves_its_work_to_the_others(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    date = "Fri, 31 Dec 9999 23:59:59 GMT"
    with serving(lambda ask: error(429, "busy", Retry_After=date)) as busy, serving() as idle:
        assert ids(draw(engine(folder, busy.url, idle.url, batch_size=1))) == expected()
    assert len(busy.asks) == 1
    assert f"{busy.url} wants to be left alone for 30 s; others" in capsys.readouterr().err


def test_a_url_that_keeps_failing_is_put_aside_and_named_once(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda ask: error(500, "broken pump")) as sick, serving() as well:
        assert ids(draw(engine(folder, sick.url, well.url, batch_size=1))) == expected()
    assert len(sick.asks) == SICK and len(well.asks) == len(EVERY)
    said = [line for line in capsys.readouterr().err.splitlines() if sick.url in line]
    assert said == [f"{sick.url} keeps failing (HTTP 500: broken pump); others get its work"]


def test_a_url_that_was_put_aside_gets_work_again(folder: str) -> None:
    with serving(first_then_fine(error(500, "warming up"), times=SICK)) as late, serving() as well:
        patience = Patience(backoff=0.001, longest=0.01, rest=0, connect=10)
        drawn = draw(engine(folder, late.url, well.url, batch_size=1, patience=patience))
    assert ids(drawn) == expected()
    assert len(late.asks) > SICK


def test_one_request_at_a_time_finds_out_whether_a_url_is_well_again(folder: str) -> None:
    def fail_then_hang(ask: Ask) -> Reply:
        return error(500, "sick") if ask.number < SICK else sick.hang(ask)

    with serving(fail_then_hang) as sick, serving() as well:
        patience = Patience(backoff=0.001, longest=0.01, rest=0, connect=10)
        responses = engine(folder, sick.url, well.url, patience=patience).generate(
            Everything(PROMPTS, SAMPLING.n), SAMPLING
        )
        assert len([next(responses) for _ in range(len(EVERY) - 1)]) == len(well.asks)
        assert isinstance(responses, Generator)
        responses.close()
    assert len(sick.asks) == SICK + 1


def test_a_url_that_dies_in_the_middle_leaves_its_work_to_the_others(folder: str) -> None:
    with serving() as well:
        with serving() as dying:
            drawn = engine(folder, dying.url, well.url).generate(
                Everything(PROMPTS, SAMPLING.n), SAMPLING
            )
            seen = [next(drawn) for _ in range(3)]
        seen += drawn
    assert {(r.problem_id, r.sample): r.token_ids for r in seen} == expected()


def test_a_dead_url_is_left_out(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert ids(draw(engine(folder, DEAD, server.url))) == expected()
    assert f"{DEAD} is left out of this run: the connection failed" in capsys.readouterr().err


class Listener(io.StringIO):
    """Standard error that notices what is said."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.heard = threading.Event()

    def write(self, text: str) -> int:
        if self.words in text:
            self.heard.set()
        return super().write(text)


def test_nothing_finished_is_lost_and_what_is_under_way_is_kept(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Listener("Responses under way, waited for: 1")
    monkeypatch.setattr(sys, "stderr", stderr)

    def third_fails(ask: Ask) -> Reply:
        if ask.prompt == PROMPTS[2].token_ids:
            return error(500, "no luck with this one")
        if ask.prompt == PROMPTS[3].token_ids:
            assert stderr.heard.wait(bad.PATIENT), "the failure was not noticed, or not told"
        return completion(ask)

    def attempts() -> int:
        return sum(ask.prompt == PROMPTS[2].token_ids for ask in server.asks)

    with serving(third_fails) as server:
        failing = engine(folder, server.url, batch_size=4, retries=2)
        seen = []
        with pytest.raises(ModelError) as raised:
            for response in failing.generate(Everything(PROMPTS, 1), SAMPLING):
                seen.append(response.problem_id)
    assert sorted(seen) == ["p0", "p1", "p3"]
    for word in (server.url, "response 0 to problem 'p2'", "HTTP 500", "no luck", "attempts: 3"):
        assert word in str(raised.value)
    assert attempts() == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error(400, "maximum context length is 7"), ["HTTP 400", "context length", "4 prompt"]),
        (error(422, "seed must be positive"), ["HTTP 422", "seed must be positive"]),
        (error(404, "no model `tiny`"), ["HTTP 404", "'tiny'", "server.name"]),
        (error(401, "bad key"), ["HTTP 401", "SSGR_API_KEY"]),
        (error(403, "not you"), ["HTTP 403", "SSGR_API_KEY"]),
    ],
)
def test_a_refusal_is_final(folder: str, reply: Reply, words: list[str]) -> None:
    with serving(always(reply)) as server, pytest.raises((ModelError, ConfigError)) as raised:
        draw(engine(folder, server.url, batch_size=1))
    assert len(server.asks) == 1
    for word in [*words, server.url]:
        assert word in str(raised.value)


def test_the_end_token_is_put_back_where_a_server_leaves_it_out(folder: str) -> None:
    def without_end(ask: Ask) -> Reply:
        return completion(ask, token_ids=bad.tokens(ask)[:-1], matched_stop=bad.END)

    with serving(without_end) as server:
        assert ids(draw(engine(folder, server.url))) == expected()


def test_log_probabilities_are_asked_of_vllm_only(folder: str) -> None:
    """SGLang's are after the temperature."""
    with serving(models=listing(owned_by="sglang")) as server:
        drawn = draw(engine(folder, server.url))
    assert all("logprobs" not in ask.body for ask in server.asks)
    with serving(lambda ask: completion(ask, logprobs={"token_logprobs": [None]})) as server:
        unknown = draw(engine(folder, server.url))
    assert all(response.mean_logprob is None for response in unknown.values())
    assert ids(drawn) == ids(unknown) == expected()


@pytest.mark.parametrize("lasting", [{"token_ids": [5, 6]}, {"token_ids": [5] * 9}])
def test_a_server_with_a_limit_of_its_own_is_an_error(folder: str, lasting: Any) -> None:
    with (
        serving(lambda ask: completion(ask, finish_reason="length", **lasting)) as server,
        pytest.raises(ModelError, match="max_tokens is 8: the server has a limit of its own"),
    ):
        draw(engine(folder, server.url, batch_size=1))
    assert len(server.asks) == 1


def test_a_stop_string_of_the_server_is_an_error(folder: str) -> None:
    with (
        serving(lambda ask: completion(ask, token_ids=[9], stop_reason="\n\n")) as server,
        pytest.raises(ModelError, match="stopped the response at the string"),
    ):
        draw(engine(folder, server.url, batch_size=1))


def test_without_token_ids_the_text_is_encoded_again(folder: str) -> None:
    tokenizer = character_tokenizer()

    def text_only(ask: Ask) -> Reply:
        text = tokenizer.decode(bad.tokens(ask)[:-1])
        return completion(ask, token_ids=..., text=text)

    with serving(text_only) as server:
        drawn = draw(engine(folder, server.url))
    assert ids(drawn) == expected()
    assert all(response.mean_logprob is None for response in drawn.values())
    assert all(ask.body["skip_special_tokens"] is False for ask in server.asks)


def test_text_that_the_tokenizer_cannot_give_back_is_refused(folder: str) -> None:
    with (
        serving(lambda ask: completion(ask, token_ids=..., text="10 €")) as server,
        pytest.raises(ModelError, match=r"returns no token ids.*'€' becomes '<unk>'"),
    ):
        draw(engine(folder, server.url, batch_size=1))
    assert len(server.asks) == 1


def test_a_consumer_that_stops_early_leaves_nothing_behind(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda ask: completion(ask) if ask.number == 0 else server.hang(ask)) as server:
        responses = engine(folder, server.url).generate(Everything(PROMPTS, 3), SAMPLING)
        assert isinstance(responses, Generator)
        next(responses)
        responses.close()  # returns although three requests hang
    assert "failing" not in capsys.readouterr().err


# At the start


def test_the_model_must_be_served_under_its_name(folder: str) -> None:
    with (
        serving(models=listing(("llama", "qwen"))) as server,
        pytest.raises(ConfigError, match=r"no model 'tiny'; it has \['llama', 'qwen'\]"),
    ):
        engine(folder, server.url)


def test_the_name_is_the_model_path_by_default(folder: str) -> None:
    with serving(models=listing((folder,))) as server:
        draw(engine(folder, server.url, name=None))
    assert {ask.body["model"] for ask in server.asks} == {folder}


@pytest.mark.parametrize("length", [None, 100, 1000])
def test_the_length_is_that_of_the_server(folder: str, length: int | None) -> None:
    with serving() as long, serving(models=listing(max_model_len=length)) as short:
        assert engine(folder, long.url, short.url).max_length == min(512, length or 512)
    with serving(models=listing(max_model_len=None)) as server:
        assert engine(folder, server.url).max_length is None


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (error(401, "who?"), r"refuses the key in SSGR_API_KEY \(HTTP 401: who\?\)"),
        (error(404, "nothing here"), r"HTTP 404.*server.urls \(they mostly end in /v1\)"),
        (error(503, "loading"), r"(?s)No endpoint .* HTTP 503: loading"),
        (Reply(b"<html>hello</html>"), r"(?s)No endpoint .* list of models: '<html>hello</html>'"),
        (Reply(b'{"data": [', cut=4), r"(?s)No endpoint .* the connection failed"),
    ],
)
def test_a_useless_server_is_an_error_at_the_start(folder: str, models: Reply, words: str) -> None:
    with serving(models=models) as server, pytest.raises(ConfigError, match=words) as raised:
        engine(folder, server.url)
    assert server.url in str(raised.value)


def test_a_dead_server_is_an_error_at_the_start(folder: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)No endpoint .*{DEAD}: the connection failed"):
        engine(folder, DEAD)


@pytest.mark.parametrize("url", ["node1:8000/v1", "ftp://node1", "http://", "http://node1:x/v1"])
def test_a_wrong_url_is_an_error(folder: str, url: str) -> None:
    with pytest.raises(ValidationError, match="is no url such as"):
        engine(folder, url)


# The key


def test_a_key_in_the_url_is_refused_and_not_repeated(folder: str) -> None:
    for url in (f"http://me:{KEY[:5]}@node1/v1", "http://node1/v1?api_key=sk-do"):
        with pytest.raises(ValidationError, match="holds credentials or a query") as raised:
            engine(folder, url)
        assert "sk-do" not in str(raised.value)


def test_a_chosen_key_must_be_there(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"MY_KEY \(server.api_key_env\) holds no key"):
        engine(folder, DEAD, api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "two words")
    with pytest.raises(ConfigError, match="MY_KEY holds blanks"):
        engine(folder, DEAD, api_key_env="MY_KEY")
    monkeypatch.delenv("SSGR_API_KEY")
    with serving() as server:  # local servers want none
        assert ids(draw(engine(folder, server.url))) == expected()
        assert ids(draw(engine(folder, server.url, api_key_env=""))) == expected()
    assert {ask.headers["authorization"] for ask in server.asks} == {"Bearer none"}


LOUD = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
sys.path.insert(0, sys.argv[1])
import test_server_engine as tests
from ssgr.errors import SsgrError
for url in sys.argv[3:]:
    try:
        engine = tests.engine(sys.argv[2], url, retries=1)
        print(engine, vars(engine))
        print(tests.draw(engine))
    except SsgrError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        print(*told.format(), vars(error), error.__cause__, error.__context__)
        print(repr(error))
"""


def test_no_error_log_or_traceback_shows_the_key(folder: str) -> None:
    """Each server says the key back, in body and header, as it came and escaped."""
    escaped = "sk-do%2Fnot%2Bshow%3Dme"
    sentences = f"key {KEY}, {escaped}, header Bearer {KEY}. " + "x" * 200 + KEY
    replies = [error(code, sentences, X_Echo=KEY) for code in (400, 401, 403, 404, 429, 500)]
    replies += [Reply(sentences.encode()), Reply(b" " * 50 + KEY.encode() * 9)]
    replies += [Reply(sentences.encode(), cut=20), Reply(KEY.encode(), 418, {"X-Echo": KEY})]
    with ExitStack() as stack:
        # each failure once at the start, once at a response
        early = [stack.enter_context(serving(models=reply)) for reply in replies]
        late = [stack.enter_context(serving(always(reply))) for reply in replies]
        urls = [server.url for server in early + late]
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", LOUD, here, folder, *urls],
            env=os.environ | {"OPENAI_LOG": "debug"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for part in (KEY, escaped, KEY[:12], "Bearer sk"):
        assert part not in said
    errors = [
        line for line in said.splitlines() if line.startswith(("ConfigError(", "ModelError("))
    ]
    assert len(errors) == len(urls)
    assert all(url in said for url in urls)
    assert said.count("<SSGR_API_KEY>") > len(urls)
