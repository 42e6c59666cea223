"""How a response stands in a journal: marker, length, checksum, a line of JSON, the token ids."""

import json
import zlib
from struct import Struct
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ssgr.sampling.protocol import Response

MARKER = b"\xf5ssg"
FRAME = Struct("<4sII")  # marker, bytes of the payload, CRC-32 of length and payload
SHARED_IDS = 1 << 20  # token ids below this are one object each, however often they stand


def framed(payload: bytes) -> bytes:
    """The payload as a record that can be told from a torn one."""
    length = len(payload)
    return FRAME.pack(MARKER, length, _checksum(length, payload)) + payload


def _checksum(length: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little")))


def next_payload(file: BinaryIO) -> bytes | None:
    """The next record's payload; None at the end or where the file is damaged."""
    frame = file.read(FRAME.size)
    if len(frame) < FRAME.size:
        return None
    marker, length, checksum = FRAME.unpack(frame)
    if marker != MARKER:
        return None
    payload = file.read(length)
    whole = len(payload) == length and _checksum(length, payload) == checksum
    return payload if whole else None


def packed(response: Response) -> bytes:
    """One line of JSON, then the token ids as 32-bit little-endian integers."""
    head = [response.problem_id, response.sample, response.finish_reason, response.mean_logprob]
    return json.dumps(head).encode() + b"\n" + np.asarray(response.token_ids, "<i4").tobytes()


def unpacked(payload: bytes) -> Response:
    """The response that :func:`packed` packed; ValueError, KeyError or TypeError: it is none."""
    head, _, tokens = payload.partition(b"\n")
    problem_id, sample, finish_reason, mean_logprob = json.loads(head)
    token_ids = _token_ids(np.frombuffer(tokens, "<i4"))
    return Response(problem_id, sample, token_ids, finish_reason, mean_logprob)


def _token_ids(ids: npt.NDArray[np.int32]) -> tuple[int, ...]:
    """The ids as a tuple whose equal members are one object: 8 bytes an id instead of 40."""
    if not ids.size or ids.min() < 0 or ids.max() >= SHARED_IDS:
        return tuple(ids.tolist())
    return tuple(_integers(int(ids.max()) + 1)[ids].tolist())


_shared = np.arange(0).astype(object)


def _integers(count: int) -> npt.NDArray[np.object_]:
    """At least ``count`` Python integers, the same objects at every call."""
    global _shared
    if len(_shared) < count:
        more = np.arange(len(_shared), max(count, 2 * len(_shared))).astype(object)
        _shared = np.concatenate([_shared, more])
    return _shared
