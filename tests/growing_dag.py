"""A DAG whose calibrations visit further waves of problems, which a dry run cannot show."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cluster_model import Task


def grown(tasks: Sequence[Task], waves: int) -> list[Task]:
    """A DAG as it becomes when every calibration visits so many waves of problems.

    A further wave is a copy of the one before: its samples wait for the first count that asks for
    them, its grades for them, its counts for its grades and for the count before; what waited for
    the last count waits for the new one.
    """
    found = {task.key: task for task in tasks}
    counts = [task for task in tasks if task.stage == "tally"]
    last = {task.key: task.key for task in counts}
    for wave in range(1, waves):
        asked: dict[str, str] = {}  # a sample, and the first count that looked at it
        for count in counts:
            for sample in _samples(found, count):
                asked.setdefault(sample, last[count.key])
        copies: dict[str, Task] = {}
        for count in counts:
            after = {last[count.key]}
            for grade in (key for key in count.after if found[key].stage == "grade"):
                after.add(_copy(found, copies, found[grade], wave, asked).key)
            new = replace(count, key=f"{count.key}+{wave}", after=frozenset(after))
            copies[new.key] = new
            last[count.key] = new.key
        found |= copies
    moved = {old: new for old, new in last.items() if old != new}
    return [
        _waiting_for(task, moved) if task.stage == "select" else task for task in found.values()
    ]


def _samples(found: dict[str, Task], count: Task) -> Iterable[str]:
    """The samples that a count of the first wave rests on."""
    for grade in (found[key] for key in count.after if found[key].stage == "grade"):
        yield from (key for key in grade.after if found[key].stage == "sample")


def _copy(
    found: dict[str, Task], copies: dict[str, Task], task: Task, wave: int, asked: dict[str, str]
) -> Task:
    """The same job of a further wave, made once."""
    key = f"{task.key}+{wave}"
    if key not in copies:
        if task.stage == "sample":
            after = {*task.after, asked[task.key]}
        else:
            samples = {one for one in task.after if found[one].stage == "sample"}
            new = {_copy(found, copies, found[one], wave, asked).key for one in samples}
            after = {*(task.after - samples), *new}
        copies[key] = replace(task, key=key, after=frozenset(after))
    return copies[key]


def _waiting_for(task: Task, moved: dict[str, str]) -> Task:
    return replace(task, after=frozenset(moved.get(key, key) for key in task.after))
