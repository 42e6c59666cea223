"""The server engine: responses from OpenAI-compatible endpoints (vLLM, SGLang, a balancer).

Each response is a request of its own with its own seed, as in the other engines. The requests run
in an event loop in the background; the caller's thread hands out work and takes the responses.

vLLM heeds the seed of a request always, SGLang when started with
``--enable-deterministic-inference``. ``mean_logprob`` is known from vLLM only, which returns
log-probabilities before the temperature unless started with another ``--logprobs-mode``; SGLang's
are after it.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from queue import SimpleQueue

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ssgr.config import Sampling, Server
from ssgr.errors import ConfigError, SsgrError
from ssgr.sampling.protocol import EngineSettings, Response, Work
from ssgr.sampling.server.answers import AnswerReader, load_reader
from ssgr.sampling.server.endpoint import Endpoint, Failure, ServedModel
from ssgr.sampling.server.fleet import Fleet, Patience, refusal
from ssgr.sampling.server.key import Key, quiet_libraries


def load(model: str, settings: EngineSettings, patience: Patience | None = None) -> "ServerEngine":
    """Find the endpoints of a model and what they tell of it; its tokenizer is read here.

    Endpoints that cannot be reached are named on stderr and left out.

    Raises:
        ConfigError: no endpoints, none that answers, one that refuses the key or serves no model
            of this name.
        ModelError: the model's tokenizer or configuration cannot be read here.
    """
    if settings.server is None:
        raise ConfigError(
            "The engine 'server' has no endpoints: give the model the key `server` with its urls."
        )
    patience = patience or Patience()
    quiet_libraries()
    key = Key(settings.server.api_key_env)
    urls = settings.server.urls
    name = settings.server.name or model
    reader = load_reader(model, settings)
    with start_blocking_portal() as portal:
        found = portal.call(_ask_all, urls, key, patience.connect)
    served = _served(found, name, key)
    lengths = [card.max_model_len for card in served.values()] + [settings.max_length]
    return ServerEngine(
        name,
        settings.server.model_copy(update={"urls": [url for url in urls if url in served]}),
        key,
        reader,
        batch_size=settings.batch_size,
        max_length=min((length for length in lengths if length is not None), default=None),
        logprobs=all(card.owned_by == "vllm" for card in served.values()),
        patience=patience,
    )


async def _ask_all(
    urls: list[str], key: Key, connect: float
) -> dict[str, list[ServedModel] | Failure]:
    found: dict[str, list[ServedModel] | Failure] = {}

    async def ask(url: str) -> None:
        endpoint = Endpoint(url, key, connect, connect)
        async with endpoint.client:
            found[url] = await endpoint.models()

    async with anyio.create_task_group() as group:
        for url in set(urls):
            group.start_soon(ask, url)
    return found


def _served(
    found: dict[str, list[ServedModel] | Failure], name: str, key: Key
) -> dict[str, ServedModel]:
    """Return the model's entry at each url that answers."""
    served: dict[str, ServedModel] = {}
    unreachable: dict[str, str] = {}
    for url, answer in sorted(found.items()):
        if isinstance(answer, Failure):
            if answer.lasting:
                raise refusal(answer, url, name, key)
            unreachable[url] = answer.reason
            continue
        cards = {card.id: card for card in answer}
        if name not in cards:
            raise ConfigError(
                f"{url} serves no model {name!r}; it has {sorted(cards)}. Name one of them in "
                "server.name, or start the server with --served-model-name."
            )
        served[url] = cards[name]
    if not served:
        reasons = "".join(f"\n  {url}: {reason}" for url, reason in unreachable.items())
        raise ConfigError(
            f"No endpoint of the model {name!r} can be reached:{reasons}\nStart the servers, or "
            "correct server.urls (they mostly end in /v1)."
        )
    for url, reason in unreachable.items():
        print(f"{url} is left out of this run: {reason}", file=sys.stderr)
    return served


class ServerEngine:
    """Asks the endpoints for up to ``batch_size`` responses at a time, all urls together."""

    def __init__(
        self,
        name: str,
        server: Server,
        key: Key,
        reader: AnswerReader,
        *,
        batch_size: int,
        max_length: int | None,
        logprobs: bool,
        patience: Patience,
    ) -> None:
        """Take the model's name on the server and the urls that serve it; see `load`."""
        self.name = name
        self.server = server
        self.batch_size = batch_size
        self.max_length = max_length
        self._key = key
        self._reader = reader
        self._logprobs = logprobs
        self._patience = patience

    def close(self) -> None:
        """Do nothing: the servers are the user's."""

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        """Yield each response as it arrives.

        After the first failure that retries do not cure nothing new is asked for, but responses
        under way are still waited for and yielded: they have cost as much as the others.

        Raises:
            ConfigError: a server refuses the key, or does not know the model.
            ModelError: a response could not be had; names the problem, the sample and the url.
        """
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self._fleet()) as fleet,
        ):
            yield from self._drive(portal, fleet, work, sampling)

    @asynccontextmanager
    async def _fleet(self) -> AsyncIterator[Fleet]:
        endpoints = [
            Endpoint(url, self._key, self.server.timeout, self._patience.connect)
            for url in self.server.urls
        ]
        try:
            yield Fleet(
                endpoints,
                self.name,
                self._reader,
                retries=self.server.retries,
                logprobs=self._logprobs,
                patience=self._patience,
            )
        finally:
            for endpoint in endpoints:
                await endpoint.client.close()

    def _drive(
        self, portal: BlockingPortal, fleet: Fleet, work: Work, sampling: Sampling
    ) -> Iterator[Response]:
        finished: SimpleQueue[Future[Response | SsgrError]] = SimpleQueue()
        running: set[Future[Response | SsgrError]] = set()
        failure: SsgrError | None = None
        try:
            while True:
                while failure is None and len(running) < self.batch_size:
                    request = work.take(wait=not running)
                    if request is None:
                        break
                    future = portal.start_task_soon(fleet.respond, request, sampling)
                    running.add(future)
                    future.add_done_callback(finished.put)
                if not running:
                    break
                future = finished.get()
                running.remove(future)
                outcome = future.result()
                if isinstance(outcome, Response):
                    yield outcome
                elif failure is None:
                    failure = outcome
                    fleet.close()
                    _say_waiting(failure, len(running))
        finally:
            for future in running:
                future.cancel()
        if failure is not None:
            raise failure


def _say_waiting(failure: SsgrError, count: int) -> None:
    if count:
        print(f"{failure}\nResponses under way, waited for: {count}", file=sys.stderr)
