"""Further nodes of a SLURM job, which hold a part of one model: started, waited for, always ended.

The first node runs the job; it starts one process on each other node with ``srun``, writes there
what to do, and waits until all are there. The pipe to their standard input is the lifeline: when
this process ends, however it ends, they read its end and end, too. When one of them ends before,
nothing more comes from the model, and this process is interrupted in whatever it waits for.
"""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ssgr.errors import ConfigError, ModelError

PATIENCE = 900.0
"""Seconds in which all nodes must be there: they import vLLM from a network disk, all at once."""
STDIN, STDOUT = 0, 1
"""Read without a buffer, in which a thread that waits cannot be ended; written a line at once."""
GRACE = 30.0
"""Seconds that the other nodes have to end by themselves."""
READY = "ssgr: this node is ready: "
LOST = signal.SIGUSR1
OF_ONE_NODE = ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS", "VLLM_HOST_IP")
"""Variables that mean this node's devices or address, or the whole job's, not another node's."""


@contextmanager
def joined(
    nodes: int, gpus: int, task: Mapping[str, object], *, patience: float = PATIENCE
) -> Iterator[None]:
    """Have the ``nodes - 1`` further nodes of this job do ``task`` beside this one.

    Args:
        nodes: of this job, this one included.
        gpus: of each node.
        task: what `assigned` returns there, as JSON.
        patience: seconds in which all must say that they are ready.

    Raises:
        ConfigError: this is no job of SLURM's.
        ModelError: not all nodes came in time, or one ended before this block did.
    """
    process = subprocess.Popen(
        [*_srun(nodes - 1, gpus), sys.executable, "-m", "ssgr", "lend-node"],
        env={name: value for name, value in os.environ.items() if name not in OF_ONE_NODE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ready: queue.Queue[str | None] = queue.Queue()
    over, watched = threading.Event(), threading.Event()
    threading.Thread(target=_read, args=(process, ready, watched, over), daemon=True).start()
    before = signal.signal(LOST, lambda *_: _lost(process))
    try:
        with suppress(BrokenPipeError):  # it has ended; `_await` says why
            print(json.dumps(task), file=process.stdin, flush=True)
        _await(nodes - 1, ready, process, patience)
        watched.set()
        yield
    finally:
        over.set()
        watched.set()
        signal.signal(LOST, before)
        _end(process)


def _srun(nodes: int, gpus: int) -> list[str]:
    """The command that starts one process on each other node of this job."""
    if not os.environ.get("SLURM_JOB_ID") or shutil.which("srun") is None:
        raise ConfigError(
            f"The model is to lie on {nodes + 1} nodes (models.<name>.execution.nodes), which are "
            "those of a SLURM job, and this is none: run with the profile workflow/profiles/slurm, "
            "or set nodes to 1."
        )
    here = os.environ.get("SLURMD_NODENAME") or socket.gethostname().split(".")[0]
    return [
        *("srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        *(f"--exclude={here}", "--export=ALL", "--cpu-bind=none"),
        *("--kill-on-bad-exit=1", "--unbuffered"),
        *([f"--gres=gpu:{gpus}"] if gpus else []),
    ]


def _read(
    process: "subprocess.Popen[str]",
    ready: "queue.Queue[str | None]",
    watched: threading.Event,
    over: threading.Event,
) -> None:
    """Take the names of the nodes that are ready; hand on what else they say, to the log."""
    assert process.stdout is not None
    for line in process.stdout:
        other, *hosts = line.split(READY)  # two nodes may say so in one line
        for host in hosts:
            ready.put(host.strip())
        if other:
            print(other, end="", file=sys.stderr, flush=True)
    process.wait()
    ready.put(None)
    watched.wait()
    if not over.is_set():
        signal.pthread_kill(threading.main_thread().ident or 0, LOST)


def _await(
    count: int,
    ready: "queue.Queue[str | None]",
    process: "subprocess.Popen[str]",
    patience: float,
) -> None:
    end = time.monotonic() + patience
    hosts: list[str] = []
    while len(hosts) < count:
        try:
            host = ready.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise ModelError(
                f"{len(hosts)} of {count} further nodes were ready within {patience:.0f} s "
                f"({', '.join(hosts) or 'none'}). See what they say above; `squeue --steps` shows "
                "whether srun still waits for one."
            ) from None
        if host is None:
            raise ModelError(
                f"The further nodes of this job ended before they were ready: srun exited with "
                f"{process.returncode}. What they said stands above."
            )
        hosts.append(host)
    print(f"nodes: {socket.gethostname()} {' '.join(hosts)}", file=sys.stderr, flush=True)


def _lost(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:  # the signal is somebody else's
        return
    raise ModelError(
        f"A node that holds a part of the model has ended (srun exited with {process.returncode}); "
        "what it said stands above. What was drawn so far is kept: run again to go on."
    )


def _end(process: "subprocess.Popen[str]") -> None:
    """Close the lifeline; who does not end by itself is ended."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    for end in (None, process.terminate, process.kill):
        if end is not None:
            end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return


def assigned() -> dict[str, Any]:
    """Return, on a further node, what it is to do; from here on it ends when the first does.

    Raises:
        ModelError: nobody says what.
    """
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(STDIN, 1 << 16)
        if not read:
            raise ModelError(
                "`lend-node` is started by a job, with srun: a job says what it is for."
            )
        line += read
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_end_with_the_first_node, daemon=True).start()
    task: dict[str, Any] = json.loads(line)
    return task


def _end_with_the_first_node() -> None:
    while os.read(STDIN, 1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def say_ready() -> None:
    """Say, on a further node, that this one is there."""
    os.write(STDOUT, f"{READY}{socket.gethostname()}\n".encode())


def rank() -> int:
    """Return the number of this node among all of the job; the first is 0."""
    return 1 + int(os.environ["SLURM_PROCID"])
