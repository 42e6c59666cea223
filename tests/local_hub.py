"""A small hub on the loopback: data sets of our own rows at the paths of the real ones."""

import csv
import gzip
import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

Row = dict[str, Any]


@dataclass
class DataSet:
    """Files by path; ``main`` is the commit of the branch of that name."""

    files: dict[str, bytes]
    main: str = "f" * 40
    gated: bool = False


@dataclass
class LocalHub:
    """What is served where, and what was asked for: (method, repo, revision, file)."""

    url: str
    sets: dict[str, DataSet] = field(default_factory=dict)
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)


def packed(path: str, rows: Sequence[Row]) -> bytes:
    """Rows as a file of the kind that ``path`` names."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if path.endswith(".parquet"):
        buffer = io.BytesIO()
        pl.DataFrame(rows, infer_schema_length=None, strict=False).write_parquet(buffer)
        return buffer.getvalue()
    if path.endswith(".csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if path.endswith(".gz"):
        return gzip.compress(lines)
    if path.endswith(".zst"):
        return bytes(pa.compress(lines, "zstd", asbytes=True))
    return json.dumps(rows).encode() if path.endswith(".json") else lines


def written(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows to a file of the kind that ``path`` names; return the path."""
    path.write_bytes(packed(path.name, rows))
    return path


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Serve a hub until the block ends."""
    hub = LocalHub("")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            owner, name, revision, file = _asked_for(self.path)
            repo = f"{owner}/{name}"
            hub.asked.append((self.command, repo, revision, file))
            found = hub.sets.get(repo)
            if found is None:
                return self._refuse(404, "RepoNotFound")
            commit = found.main if revision == "main" else revision
            if found.gated:
                return self._refuse(403, "GatedRepo")
            if commit != found.main:
                return self._refuse(404, "RevisionNotFound")
            if file not in found.files:
                return self._refuse(404, "EntryNotFound", commit)
            data = found.files[file]
            self.send_response(200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{sha1(data).hexdigest()}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def _refuse(self, status: int, code: str, commit: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            if commit:
                self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _asked_for(path: str) -> tuple[str, str, str, str]:
    """Of ``/datasets/OWNER/NAME/resolve/REVISION/FILE``."""
    parts = unquote(path).partition("?")[0].split("/")
    if parts[1] != "datasets" or parts[4] != "resolve":
        return "", "", "", path
    return parts[2], parts[3], parts[5], "/".join(parts[6:])
