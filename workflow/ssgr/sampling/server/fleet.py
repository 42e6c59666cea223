"""Several urls as one server: who gets the next request, what is tried again, what is final."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from ssgr.config import Sampling
from ssgr.errors import ConfigError, ModelError, SsgrError
from ssgr.sampling.protocol import Request, Response
from ssgr.sampling.server.answers import AnswerReader, BrokenAnswer
from ssgr.sampling.server.endpoint import Endpoint, Failure
from ssgr.sampling.server.key import Key

SICK = 3  # failures in a row


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds.

    Attributes:
        backoff: before the second attempt at a response; doubled before each further one. Up to
            as much again is added at random.
        longest: what the doubling ends at.
        rest: a url that keeps failing gets no work that others can take.
        connect: for a connection, and for the list of models at the start.
    """

    backoff: float = 1.0
    longest: float = 60.0
    rest: float = 30.0
    connect: float = 10.0


@dataclass
class _Draw:
    """A response in the making, and the url that was asked for it last."""

    request: Request
    sampling: Sampling
    attempts: int = 0
    endpoint: Endpoint | None = None


class Fleet:
    """Endpoints of one model that share its requests."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        name: str,
        reader: AnswerReader,
        *,
        retries: int,
        logprobs: bool,
        patience: Patience,
    ) -> None:
        """Take the endpoints, the model's name there, and how often a response is tried again."""
        self.endpoints = endpoints
        self.name = name
        self.reader = reader
        self.retries = retries
        self.logprobs = logprobs
        self.patience = patience
        self._named: set[str] = set()
        self._closing = threading.Event()

    def close(self) -> None:
        """Let what is under way end, and try nothing again."""
        self._closing.set()

    async def respond(self, request: Request, sampling: Sampling) -> Response | SsgrError:
        """Draw one response.

        Returns:
            The response, or the error to raise: an exception that crossed threads would drag the
            client, and with it the key, along in its traceback.
        """
        draw = _Draw(request, sampling)
        outcome = await self._retrying()(self._attempt, draw)
        return self._error(draw, outcome) if isinstance(outcome, Failure) else outcome

    def _retrying(self) -> Any:
        return AsyncRetrying(
            retry=retry_if_result(lambda last: isinstance(last, Failure) and not last.lasting),
            stop=stop_any(stop_after_attempt(self.retries + 1), stop_when_event_set(self._closing)),
            wait=wait_exponential(self.patience.backoff, max=self.patience.longest)
            + wait_random(0, self.patience.backoff),
            retry_error_callback=_last,
        )

    async def _attempt(self, draw: _Draw) -> Response | Failure:
        draw.attempts += 1
        draw.endpoint = endpoint = self._choose(draw.endpoint)
        endpoint.in_flight += 1
        try:
            await anyio.sleep_until(endpoint.waits_until)
            outcome = await self._ask(endpoint, draw)
        finally:
            endpoint.in_flight -= 1
        self._note(endpoint, outcome)
        return outcome

    def _choose(self, failed: Endpoint | None) -> Endpoint:
        """Choose the url with the least in flight, not one that just failed if others are well.

        Of a url that was sick, one request at a time finds out whether it is well again.
        """
        now = anyio.current_time()

        def reluctance(endpoint: Endpoint) -> tuple[bool, bool, int]:
            probed = endpoint.failures >= SICK and endpoint.in_flight > 0
            rests = now < max(endpoint.rests_until, endpoint.waits_until) or probed
            return rests, endpoint is failed, endpoint.in_flight

        return min(self.endpoints, key=reluctance)

    async def _ask(self, endpoint: Endpoint, draw: _Draw) -> Response | Failure:
        content = await endpoint.complete(self.name, draw.request, draw.sampling, self.logprobs)
        if isinstance(content, Failure):
            return content
        try:
            return self.reader.read(content, draw.request, draw.sampling)
        except BrokenAnswer as error:
            return endpoint.broken(str(error), error.quote, error.lasting)

    def _note(self, endpoint: Endpoint, outcome: Response | Failure) -> None:
        """Remember how a url fares. Being busy (429) is no fault, and neither is a bad request."""
        now = anyio.current_time()
        if isinstance(outcome, Response):
            endpoint.failures = 0
            return
        endpoint.waits_until = max(endpoint.waits_until, now + outcome.retry_after)
        if outcome.retry_after > self.patience.rest:
            self._say_once(endpoint, f"wants to be left alone for {outcome.retry_after:.0f} s")
        if outcome.lasting or outcome.status == 429:
            return
        endpoint.failures += 1
        if endpoint.failures >= SICK:
            endpoint.rests_until = now + self.patience.rest
            self._say_once(endpoint, f"keeps failing ({outcome.reason})")

    def _say_once(self, endpoint: Endpoint, what: str) -> None:
        if endpoint.url not in self._named:
            self._named.add(endpoint.url)
            others = "; others get its work" if len(self.endpoints) > 1 else ""
            print(f"{endpoint.url} {what}{others}", file=sys.stderr)

    def _error(self, draw: _Draw, failure: Failure) -> SsgrError:
        assert draw.endpoint is not None
        url, key = draw.endpoint.url, draw.endpoint.key
        prompt = draw.request.prompt
        which = f"response {draw.request.sample} to problem {prompt.problem_id!r}"
        if failure.status in (401, 403, 404):
            return refusal(failure, url, self.name, key)
        if failure.lasting:
            return ModelError(
                f"{url} cannot give {which} (model {self.name!r}, {len(prompt.token_ids)} prompt "
                f"tokens, max_tokens {draw.sampling.max_tokens}): {failure.reason}."
            )
        return ModelError(
            f"{url} gave no {which} (model {self.name!r}); attempts: {draw.attempts}, the last "
            f"failed thus: {failure.reason}. Look at the server's log; what was finished is kept. "
            "server.timeout and server.retries in the model's entry say how patient to be."
        )


def refusal(failure: Failure, url: str, name: str, key: Key) -> ConfigError:
    """Return the error of a url that will never serve this model."""
    if failure.status in (401, 403):
        sent = f"the key in {key.variable}" if key else "requests without a key"
        advice = f"Set the environment variable {key.variable or 'of server.api_key_env'} to a key"
        return ConfigError(f"{url} refuses {sent} ({failure.reason}). {advice} of this server.")
    return ConfigError(
        f"{url} does not serve the model {name!r} ({failure.reason}). Correct server.urls (they "
        "mostly end in /v1) or server.name."
    )


def _last(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
