"""A small completions server that does to its clients what servers do on bad days."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "tiny"
END = 0
PATIENT = 30  # seconds; no test waits that long unless something is broken


@dataclass(frozen=True)
class Ask:
    """A request as it arrived: its body, and how many came before it."""

    body: dict[str, Any]
    number: int
    headers: dict[str, str]

    @property
    def prompt(self) -> tuple[int, ...]:
        return tuple(self.body["prompt"])


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    ``cut`` closes the connection after so many bytes of the body; ``drip`` sends them one by one.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: bool = False


def tokens(ask: Ask) -> list[int]:
    """The response that this model gives: a function of prompt and seed alone."""
    seed = ask.body["seed"] + sum(ask.prompt)
    return [5 + (seed + 7 * i) % 90 for i in range(1 + seed % 5)] + [END]


def choice(ask: Ask, **changes: Any) -> dict[str, Any]:
    ids = tokens(ask)
    right: dict[str, Any] = {
        "index": 0,
        "text": "",
        "finish_reason": "stop",
        "stop_reason": None,
        "token_ids": ids,
        "logprobs": {"token_logprobs": [-0.5] * len(ids)},
    }
    return {name: value for name, value in (right | changes).items() if value is not ...}


def completion(ask: Ask, **changes: Any) -> Reply:
    """A right answer, or one whose choice differs by ``changes``; ... leaves a field out."""
    body = {"id": "c", "object": "text_completion", "created": 1, "model": NAME}
    return Reply(json.dumps(body | {"choices": [choice(ask, **changes)]}).encode())


def error(status: int, message: str, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "Error", "code": status}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body.encode(), status, named)


class Misbehaving:
    """Answers each completion with ``answer(ask)`` and remembers what came."""

    def __init__(self, answer: Callable[[Ask], Reply], models: Reply) -> None:
        self.answer = answer
        self.models = models
        self.asks: list[Ask] = []
        self.in_flight = 0
        self.peak = 0
        self.changed = threading.Condition()
        self.over = threading.Event()  # set when the test is: whoever hangs may go
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def other_url(self) -> str:
        """The same server by another name."""
        return f"http://localhost:{self.port}/v1"

    def hang(self, ask: Ask) -> Reply:
        self.over.wait(PATIENT)
        return completion(ask)

    def complete(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self.changed:
            ask = Ask(body, len(self.asks), headers)
            self.asks.append(ask)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            self.changed.notify_all()
        try:
            return self.answer(ask)
        finally:
            with self.changed:
                self.in_flight -= 1

    def wait_until(self, is_so: Callable[[], bool]) -> bool:
        """Wait until the requests that came make it so."""
        with self.changed:
            return self.changed.wait_for(is_so, PATIENT)


def listing(names: Sequence[str] = (NAME,), **card: Any) -> Reply:
    right = {"object": "model", "owned_by": "vllm", "max_model_len": 512}
    return Reply(json.dumps({"data": [right | {"id": name} | card for name in names]}).encode())


@contextmanager
def serving(
    answer: Callable[[Ask], Reply] = completion, models: Reply | None = None
) -> Iterator[Misbehaving]:
    """Serve on a free port until the block ends."""
    server = Misbehaving(answer, models or listing())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(server.models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server.complete(body, headers))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            for start in range(len(reply.body)) if reply.drip else ():
                self.wfile.write(reply.body[start : start + 1])
                if server.over.wait(0.05):
                    return
            self.wfile.write(b"" if reply.drip else reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that hang up are part of the game."""

    http = Server(("127.0.0.1", 0), Handler)
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        http.shutdown()
        http.server_close()
        thread.join()
