"""Which GPUs a job may see: a lease that no two jobs of one machine share.

Snakemake's ``--resources gpu=8`` is a counter; it tells no job which GPU is its own, and two
Snakemakes count each for itself. Here a job takes the locks of as many devices as it asks for, all
or none, sees only those (``CUDA_VISIBLE_DEVICES``), and the kernel frees them when it ends.

A process that the holder forks, or starts with the descriptors of :func:`descriptors`
(``subprocess``: ``pass_fds``, or ``close_fds=False``), keeps the lease until it, too, has ended:
a worker that outlives its killed job keeps its GPU. ``multiprocessing`` with "spawn" closes all
descriptors and keeps nothing.

A device is known by the name it has in ``CUDA_VISIBLE_DEVICES``: use indices or UUIDs on a
machine, not both.
"""

import contextlib
import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssgr.errors import ConfigError, SsgrError
from ssgr.storage import locks
from ssgr.storage.lock_owner import Holder, here, write_record

__all__ = ["Holder", "descriptors", "holders", "keep", "lease"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = "SSGR_DEVICES"
SCHEDULERS = {  # the variable that holds a job's number: whose job it is
    "SLURM_JOB_ID": "SLURM",
    "PBS_JOBID": "PBS",
    "LSB_JOBID": "LSF",
    "JOB_ID": "Grid Engine",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
}
COUNT = "import torch; print(torch.cuda.device_count())"

_leased: set[int] = set()
_kept: list[contextlib.AbstractContextManager[tuple[str, ...]]] = []


@contextlib.contextmanager
def lease(count: int, what: str) -> Iterator[tuple[str, ...]]:
    """Hold ``count`` devices, all or none, waiting for them; only they are visible meanwhile.

    With ``count`` 0 no device is visible. Where a scheduler (SLURM, PBS, LSF, Grid Engine,
    Kubernetes) has given this job just as many, they are passed through without a lease; where
    it has given more (an allocation in which a whole Snakemake runs), they are shared within it.

    Args:
        count: devices wanted.
        what: what they are for, for those who wait and for errors.

    Yields:
        The devices, as they stand in ``CUDA_VISIBLE_DEVICES``.

    Raises:
        ConfigError: more are wanted than there are; says so before anything is loaded.
        SsgrError: the locks cannot be taken.
        RuntimeError: CUDA is initialised already and looks at the choice no more, or this process
            holds devices already and would wait for itself.
    """
    if _leased:
        raise RuntimeError("this process holds devices already: lease all of them at once")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("lease devices before CUDA is initialised: it looks at them only once")
    there = _there() if count else ()
    if count > len(there):
        raise ConfigError(_too_many(count, there, what))
    if count == 0 or (_scheduler() and len(there) == count):
        with _visible(there):
            yield there
        return
    with _held(count, there, what) as devices, _visible(devices):
        yield devices


def keep(count: int, what: str) -> tuple[str, ...]:
    """Lease devices until this process has ended, since its GPU memory is freed no sooner.

    Raises what :func:`lease` raises.
    """
    _kept.append(lease(count, what))
    devices = _kept[-1].__enter__()
    print(f"devices: {' '.join(devices) or 'none'}", file=sys.stderr, flush=True)
    return devices


def holders() -> list[Holder]:
    """Who holds devices of this machine now.

    Raises:
        SsgrError: the folder of the locks is not to be trusted, or cannot be read.
    """
    folder = _folder()
    return [holder for holder in locks.holders(folder) if holder.path.name.startswith("gpu")]


def descriptors() -> tuple[int, ...]:
    """The descriptors that hold this process's devices, to hand on to a child (``pass_fds``)."""
    return tuple(sorted(_leased))


@contextlib.contextmanager
def _visible(devices: Sequence[str]) -> Iterator[None]:
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(devices)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = before


@contextlib.contextmanager
def _held(count: int, there: tuple[str, ...], what: str) -> Iterator[tuple[str, ...]]:
    """The locks of ``count`` devices of ``there``.

    Who waits has the turn at these devices and the others queue behind it, so that a job for
    eight devices is not overtaken for ever by jobs for one.
    """
    folder = _make_folder()
    mine = here(what)
    files = {device: folder / f"gpu{device.replace('/', '_')}.lock" for device in there}
    turn = folder / f"turn-{'-'.join(files[one].stem[3:][:12] for one in there)[:200]}.lock"
    first = f"first in line for {count} devices, for {what}"
    with locks.only_one(turn, first, lambda: _waiting(count, files, turn)):
        taken = locks.wait_for(lambda: _take(count, files), lambda: _waiting(count, files))
        _leased.update(taken.values())
        for device, descriptor in taken.items():
            write_record(descriptor, files[device], mine)
            os.set_inheritable(descriptor, True)
    try:
        yield tuple(taken)
    finally:
        for descriptor in taken.values():  # closed, not unlocked: a child may hold it still
            os.close(descriptor)
        _leased.difference_update(taken.values())


def _take(count: int, files: dict[str, Path]) -> dict[str, int] | None:
    """The descriptors of ``count`` locks by device, or None and nothing taken."""
    taken: dict[str, int] = {}
    try:
        for device, file in files.items():
            if len(taken) < count and (descriptor := locks.take(file)) is not None:
                taken[device] = descriptor
    finally:
        if len(taken) < count:
            for descriptor in taken.values():
                os.close(descriptor)
    return taken if len(taken) == count else None


def _waiting(count: int, files: dict[str, Path], turn: Path | None = None) -> str:
    held = {device: locks.holder(file) for device, file in files.items()}
    lines = [f"  {device}: {holder or 'free'}" for device, holder in held.items()]
    if turn and (before := locks.holder(turn)):
        lines.append(f"  before this in line: {before}")
    return "\n".join([f"Waiting for {count} of {len(files)} devices:", *lines])


def _there() -> tuple[str, ...]:
    """The devices this process may use, as CUDA reads them: up to the first that is none."""
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return tuple(map(str, range(_counted())))
    devices = []
    for entry in chosen.split(","):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", entry.strip()):
            break
        devices.append(entry.strip())
    return tuple(dict.fromkeys(devices))


@functools.cache
def _counted() -> int:
    """The devices of the machine, counted by another process.

    Counting may load the driver, which from then on looks at ``CUDA_VISIBLE_DEVICES`` no more.
    """
    counted = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True)
    if counted.returncode:
        raise SsgrError(
            "The GPUs of this machine cannot be counted: torch fails with "
            f"{counted.stderr.strip().splitlines()[-1:]}. Repair it, or name them: "
            f"export {VISIBLE}=0,1"
        )
    return int(counted.stdout.split()[-1])


def _scheduler() -> str | None:
    """The variable by which a scheduler says that this is a job of its own."""
    for name in SCHEDULERS:
        # JOB_ID alone is anybody's name.
        sure = name != "JOB_ID" or any(other.startswith("SGE_") for other in os.environ)
        if sure and os.environ.get(name):
            return name
    return None


def _too_many(count: int, there: Sequence[str], what: str) -> str:
    scheduler = _scheduler()
    if VISIBLE in os.environ:
        limit = f"{VISIBLE}={os.environ[VISIBLE]!r} leaves {len(there)}"
    else:
        limit = f"this machine has {len(there)}"
    if scheduler:
        limit += f" (a job of {SCHEDULERS[scheduler]}, {scheduler}={os.environ[scheduler]})"
    remedy = (
        f"Set models.<name>.execution.gpu to {len(there)} or less and run with --resources "
        f"gpu={len(there)}"
        if there
        else "Set models.<name>.execution.gpu to 0 to run without, on the processor"
    )
    return f"{count} devices are wanted for {what}, but {limit}. {remedy}."


def _shared() -> Path:
    """The folder of the locks, one for all users of the machine.

    Not below TMPDIR, which is a user's or a job's: the devices are the machine's.
    """
    temporary = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    folder = Path(os.environ.get(FOLDER) or temporary / "ssgr-devices")
    if os.path.islink(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        raise SsgrError(
            f"{folder} is to hold the locks of the devices, but is a link or a file. Delete it, "
            f"or name another folder in {FOLDER}, the same for all users."
        )
    return folder


def _folder() -> Path:
    """Where this process finds its locks: a scheduler's job may number its own devices only."""
    scheduler = _scheduler()
    if scheduler is None or scheduler == "KUBERNETES_SERVICE_HOST":
        return _shared()
    return _shared() / re.sub(r"[^\w.=-]", "_", f"{scheduler}={os.environ[scheduler]}")


def _make_folder() -> Path:
    """The same, made if missing: open to all users, sticky, whatever the umask."""
    folder = _folder()
    try:
        for part in (_shared(), folder):
            with contextlib.suppress(FileExistsError):
                part.mkdir(parents=True)
                part.chmod(0o1777)
    except OSError as error:
        raise SsgrError(
            f"The folder {folder} for the locks of the devices cannot be made "
            f"({error.strerror}). Name another in {FOLDER}, the same for all users."
        ) from error
    return folder
