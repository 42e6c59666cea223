"""One url of a server: asking it, and saying in words why it did not answer.

What goes wrong is returned and not raised: exceptions of the client library hold the request, and
with it the key. Nothing here keeps one.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
import openai
from pydantic import BaseModel, ValidationError

from ssgr.config import Sampling
from ssgr.sampling.protocol import Request
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.server.key import Key

PASSING = (408, 409, 425, 429)  # statuses beside 5xx that may be gone the next time
# A server fills what is left out from the model's generation_config.json: top_k 20, say.
PLAIN = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
# vLLM's and SGLang's. Special tokens stay in the text in case that it must be encoded again.
EXTRAS = {
    "return_token_ids": True,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
}


@dataclass(frozen=True)
class Failure:
    """Why there is no response.

    Attributes:
        reason: in words, without any key.
        status: of HTTP; None when it did not come to that.
        lasting: the same would come again.
        retry_after: seconds that the server wants to be left alone.
    """

    reason: str
    status: int | None = None
    lasting: bool = False
    retry_after: float = 0.0


class ServedModel(BaseModel):
    """An entry of ``/v1/models``."""

    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _Listing(BaseModel):
    data: list[ServedModel]


class Endpoint:
    """One url, and how it has fared. Belongs to the event loop that first asks it."""

    def __init__(self, url: str, key: Key, timeout: float, connect: float) -> None:
        """Prepare to ask ``url``; ``timeout`` and ``connect`` are seconds."""
        self.url = url
        self.key = key
        self.timeout = timeout
        self.connect = connect
        self.in_flight = 0
        self.failures = 0  # in a row
        self.rests_until = 0.0  # the event loop's clock; it gets no work that others can take
        self.waits_until = 0.0  # nor any work before this
        self.client = openai.AsyncOpenAI(
            api_key=key.reveal(),
            base_url=url,
            max_retries=0,  # the fleet retries, at another url
            timeout=openai.Timeout(timeout, connect=min(connect, timeout)),
        )

    async def models(self) -> list[ServedModel] | Failure:
        """Ask which models are served."""
        try:
            with anyio.fail_after(self.connect):
                answer = await self.client.models.with_raw_response.list()
            return _Listing.model_validate_json(answer.content).data
        except ValidationError:
            return self.broken("it did not answer with a list of models", answer.content)
        except (TimeoutError, openai.OpenAIError) as error:
            return self._failure(error, self.connect)

    async def complete(
        self, name: str, request: Request, sampling: Sampling, logprobs: bool
    ) -> bytes | Failure:
        """Ask for one response of the model ``name``; return the body of the answer."""
        try:
            with anyio.fail_after(self.timeout):
                answer = await self.client.completions.with_raw_response.create(
                    model=name,
                    prompt=list(request.prompt.token_ids),
                    n=1,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_tokens,
                    # below 2^63, which is what vLLM takes
                    seed=response_seed(sampling.seed, request.prompt.problem_id, request.sample),
                    logprobs=0 if logprobs else openai.omit,
                    presence_penalty=0.0,
                    frequency_penalty=0.0,
                    extra_body=PLAIN | EXTRAS,
                )
            return answer.content
        except (TimeoutError, openai.OpenAIError) as error:
            return self._failure(error, self.timeout)

    def broken(self, reason: str, content: bytes = b"", lasting: bool = False) -> Failure:
        """Return what was wrong with an answer, quoting its start."""
        quote = f": {self._words(content.decode(errors='replace'), 80)!r}" if content else ""
        return Failure(self._words(reason) + quote, lasting=lasting)

    def _failure(self, error: Exception, timeout: float) -> Failure:
        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            wait = min(_seconds(error.response.headers.get("retry-after")), self.timeout)
            lasting = status < 500 and status not in PASSING
            return Failure(f"HTTP {status}: {self._body(error.body)}", status, lasting, wait)
        cause = error.__cause__
        if type(cause).__name__ == "ConnectTimeout":
            return Failure(f"no connection within {self.connect:g} s")
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return Failure(f"no answer within {timeout:g} s")
        words = f"{type(cause).__name__}: {cause}" if cause else str(error)
        return Failure(self._words(f"the connection failed: {words}"))

    def _body(self, body: object) -> str:
        if isinstance(body, dict):
            body = body.get("message") or json.dumps(body)
        return self._words(str(body))

    def _words(self, text: str, longest: int = 300) -> str:
        """Strike out the key before anything is cut: half a key is one too many."""
        words = " ".join(self.key.scrub(text).split())
        return words if len(words) <= longest else words[:longest] + " …"


def _seconds(retry_after: str | None) -> float:
    """Read a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3)."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
