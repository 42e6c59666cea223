"""Draws with the vLLM engine what test_vllm.py asks for, in one load of the model.

    python vllm_session.py ASKED.json DRAWN.json

Runs in vLLM's environment. ASKED holds ``model``, ``settings`` (of `load_engine`; ``layout`` as a
dict) and ``draws``: the ``prompts`` {problem_id: token ids}, the ``requests`` [[problem_id,
sample], …] in their order, the ``sampling``, and optionally ``batch_size`` (bounds what is handed
over), ``later`` {count: requests} that come once so many responses are back, and ``leave``
(responses after which the consumer goes).
"""

import json
import sys
from collections import deque
from pathlib import Path
from typing import Any

from ssgr.config import Sampling
from ssgr.config.execution import Layout
from ssgr.errors import ModelError
from ssgr.sampling.engines import load_engine
from ssgr.sampling.protocol import Prompt, Request, Response
from ssgr.sampling.vllm.engine import VllmEngine


class Script:
    """Work by a script: requests at the start, and more once so many responses are back."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._prompts = {name: Prompt(name, tuple(ids)) for name, ids in asked["prompts"].items()}
        self._waiting = deque(asked["requests"])
        self._later = {int(count): more for count, more in asked.get("later", {}).items()}
        self._returned = 0
        self._in_flight = 0
        self.most = 0

    def take(self, wait: bool) -> Request | None:
        if wait != (self._in_flight == 0):
            raise AssertionError(f"take({wait}) with {self._in_flight} in flight")
        if not self._waiting:
            return None
        self._in_flight += 1
        self.most = max(self.most, self._in_flight)
        problem_id, sample = self._waiting.popleft()
        return Request(self._prompts[problem_id], sample)

    def put_back(self) -> None:
        """Count a response that came back, and add what was to follow it."""
        self._in_flight -= 1
        self._returned += 1
        self._waiting.extend(self._later.pop(self._returned, ()))


class CachedTokens:
    """Counts the prompt tokens that vLLM found in its prefix cache."""

    def __init__(self, engine: Any) -> None:
        self.count = 0
        self._step = engine.step
        engine.step = self.step

    def step(self) -> list[Any]:
        outputs = list(self._step())
        self.count += sum(output.num_cached_tokens for output in outputs if output.finished)
        return outputs


def draw(engine: VllmEngine, asked: dict[str, Any]) -> dict[str, Any]:
    script = Script(asked)
    responses: list[Response] = []
    drawing = engine.generate(script, Sampling(**asked["sampling"]))
    try:
        for response in drawing:
            responses.append(response)
            script.put_back()
            if len(responses) == asked.get("leave"):
                drawing.close()
    except ModelError as error:
        return {"error": str(error)}
    left = engine.engine.get_num_unfinished_requests()
    rows = [
        [r.problem_id, r.sample, r.token_ids, r.finish_reason, r.mean_logprob] for r in responses
    ]
    return {"responses": rows, "most": script.most, "left": left}


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text())
    settings = asked["settings"]
    layout = Layout(**settings.pop("layout", {}))
    engine = load_engine("vllm", asked["model"], layout=layout, **settings)
    assert isinstance(engine, VllmEngine)
    cached = CachedTokens(engine.engine)
    batch_size = engine.batch_size
    drawn: dict[str, Any] = {"max_length": engine.max_length}
    for name, one in asked["draws"].items():
        before = cached.count
        engine.batch_size = one.get("batch_size", batch_size)
        drawn[name] = draw(engine, one)
        drawn[name]["cached"] = cached.count - before
    engine.close()
    Path(sys.argv[2]).write_text(json.dumps(drawn))


if __name__ == "__main__":  # workers of several devices import this file again
    main()
