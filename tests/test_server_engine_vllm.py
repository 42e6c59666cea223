"""The engine `server` against vLLM's own server, on a CPU, with the embedded model."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from ssgr.config import AbacusSet, Sampling, Server
from ssgr.errors import ConfigError, ModelError
from ssgr.problems import load as load_problems
from ssgr.sampling import load_tokenizer, render_prompt
from ssgr.sampling.protocol import EngineSettings, Everything, Prompt, Response
from ssgr.sampling.server.engine import ServerEngine, load
from ssgr.sampling.server.fleet import Patience
from ssgr.sampling.transformers.engine import load as load_transformers
from vllm_environment import vllm_python

KEY = "sk-of-the-test"
TEMPLATE = "{question} Let's think step by step and output the final answer within \\boxed{}."
LENGTH = 640
STARTS_WITHIN = 300  # seconds
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GB; by default vLLM zeroes half of the memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_API_KEY": KEY,
}
# a seeded request must not be split over steps on a CPU
OPTIONS = {
    "served-model-name": "abacus",
    "dtype": "float32",
    "block-size": 32,
    "max-num-seqs": 32,
    "max-num-batched-tokens": 4096,
    "max-model-len": LENGTH,
    "host": "127.0.0.1",
}


@dataclass(frozen=True)
class VllmServer:
    process: "subprocess.Popen[bytes]"
    port: int

    def kill(self) -> None:
        """Kill the server and its engine, which is a process of its own."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def vllm_serving(model: Path, folder: Path) -> Iterator[VllmServer]:
    """Serve ``model`` until the block ends: SIGTERM, a time of grace, SIGKILL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {**OPTIONS, "model": model, "port": port}
    command = [vllm_python(), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--enforce-eager", "--no-enable-chunked-prefill"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | ENVIRONMENT | {"VLLM_CACHE_ROOT": str(folder / "cache")}
    environment.pop("PYTHONPATH", None)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        _wait_until_healthy(process, port, log)
        yield VllmServer(process, port)
    finally:
        _end(process)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(1)
    pytest.fail(f"vLLM's server did not start:\n{log.read_text()[-3000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # it ignores SIGTERM at times
            process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its engine too, if that is still there
    process.wait()


@pytest.fixture(scope="module")
def server(abacus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with vllm_serving(abacus, tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSGR_API_KEY", KEY)


@pytest.fixture(scope="module")
def prompts(abacus: Path) -> list[Prompt]:
    problems, _ = load_problems(AbacusSet(kind="easy", count=12))
    tokenizer = load_tokenizer(str(abacus))
    rows = problems.select("problem_id", "question").iter_rows()
    return [Prompt(name, tuple(render_prompt(tokenizer, text, TEMPLATE))) for name, text in rows]


def engine(abacus: Path, server: VllmServer, *hosts: str, batch_size: int = 16) -> ServerEngine:
    urls = [f"http://{host}:{server.port}/v1" for host in hosts or ("127.0.0.1",)]
    served = Server(urls=urls, name="abacus", timeout=120, retries=2)
    settings = EngineSettings(batch_size=batch_size, server=served)
    return load(str(abacus), settings, Patience(backoff=0.01, longest=0.1))


def draw(
    engine: ServerEngine, prompts: list[Prompt], sampling: Sampling
) -> dict[tuple[str, int], Response]:
    work = Everything(prompts, sampling.n)
    return {(r.problem_id, r.sample): r for r in engine.generate(work, sampling)}


# The tests run in this order: the last one ends the server.


def test_greedy_responses_are_those_of_the_transformers_engine(
    abacus: Path, server: VllmServer, prompts: list[Prompt]
) -> None:
    greedy = Sampling(n=1, temperature=0, top_p=1, max_tokens=256)
    plain = load_transformers(str(abacus), EngineSettings(batch_size=16, dtype="float32"))
    expected = {(r.problem_id, r.sample): r for r in plain.generate(Everything(prompts, 1), greedy)}
    served = engine(abacus, server)
    drawn = draw(served, prompts, greedy)
    assert served.max_length == LENGTH
    assert {k: (r.token_ids, r.finish_reason) for k, r in drawn.items()} == {
        k: (r.token_ids, r.finish_reason) for k, r in expected.items()
    }
    means = [(drawn[k].mean_logprob, expected[k].mean_logprob) for k in expected]
    assert all(a == pytest.approx(b, abs=1e-4) for a, b in means)


def test_sampled_responses_repeat_and_their_logprobs_are_the_models_own(
    abacus: Path, server: VllmServer, prompts: list[Prompt]
) -> None:
    sampling = Sampling(n=4, temperature=0.6, top_p=0.9, max_tokens=96, seed=5)
    drawn = draw(engine(abacus, server), prompts, sampling)
    both = engine(abacus, server, "127.0.0.1", "localhost", batch_size=5)
    again = draw(both, prompts[::-1], sampling)
    assert drawn.keys() == again.keys() and len(drawn) == 4 * len(prompts)
    assert {k: r.token_ids for k, r in drawn.items()} == {k: r.token_ids for k, r in again.items()}
    assert len({r.token_ids for r in drawn.values()}) > 2 * len(prompts)
    assert {r.finish_reason for r in drawn.values()} == {"stop", "length"}
    assert all((r.token_ids[-1] == 0) == (r.finish_reason == "stop") for r in drawn.values())
    assert all(len(r.token_ids) == 96 for r in drawn.values() if r.finish_reason == "length")
    plain = load_transformers(str(abacus), EngineSettings(dtype="float32"))
    for prompt in prompts[:3]:
        response = drawn[prompt.problem_id, 1]
        whole = torch.tensor([prompt.token_ids + response.token_ids])
        with torch.inference_mode():
            logprobs = plain.model(input_ids=whole).logits[0, :-1].float().log_softmax(dim=-1)
        own = logprobs[len(prompt.token_ids) - 1 :].gather(
            -1, whole[0, -len(response.token_ids) :, None]
        )
        assert response.mean_logprob == pytest.approx(own.mean().item(), abs=1e-4)


def test_a_wrong_key_and_a_prompt_too_long_are_told_in_the_servers_words(
    abacus: Path, server: VllmServer, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Prompt("long", prompts[0].token_ids * LENGTH)
    with pytest.raises(ModelError, match=rf"'long'.*HTTP 400: .*{LENGTH}"):
        draw(engine(abacus, server), [long], Sampling(n=1, max_tokens=8))
    monkeypatch.setenv("SSGR_API_KEY", "sk-not-this-one")
    with pytest.raises(ConfigError, match="refuses the key in SSGR_API_KEY") as raised:
        engine(abacus, server)
    assert "sk-not-this-one" not in str(raised.value)


def test_a_server_killed_in_the_middle_is_an_error_and_what_came_is_kept(
    abacus: Path, server: VllmServer, prompts: list[Prompt]
) -> None:
    sampling = Sampling(n=16, temperature=0.6, top_p=0.9, max_tokens=96, seed=5)
    served = engine(abacus, server, batch_size=8)
    kept: list[Response] = []
    with pytest.raises(ModelError) as raised:
        for response in served.generate(Everything(prompts, sampling.n), sampling):
            kept.append(response)
            if len(kept) == 20:
                server.kill()
    assert 20 <= len(kept) < 16 * len(prompts)
    assert len({(r.problem_id, r.sample) for r in kept}) == len(kept)
    assert f"127.0.0.1:{server.port}" in str(raised.value)
    assert "the connection failed" in str(raised.value)
