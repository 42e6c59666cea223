"""A cluster, simulated event by event: which job of a DAG runs when, on so many GPUs."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter


@dataclass(frozen=True)
class Task:
    """A job: its stage, how long it runs, its GPUs (all on one node), and what it waits for."""

    key: str
    seconds: float
    gpus: int = 0
    after: frozenset[str] = frozenset()
    priority: int = 0
    stage: str = ""


@dataclass(frozen=True)
class Cluster:
    """Nodes with so many GPUs each, and a workflow engine that submits to them.

    Attributes:
        nodes: GPUs of each.
        jobs: jobs that the engine has at the cluster at a time; None is any number.
        spacing: seconds between two submissions.
        notice: seconds until the engine sees that a job has ended.
    """

    nodes: tuple[int, ...]
    jobs: int | None = None
    spacing: float = 0.0
    notice: float = 0.0

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return sum(self.nodes)


@dataclass(frozen=True)
class Ran:
    """A job as it ran, in seconds from the start."""

    task: Task
    start: float
    end: float


def simulate(tasks: Sequence[Task], cluster: Cluster) -> list[Ran]:
    """Run a DAG: of what is ready, the highest priority first, then in the order given.

    A job that does not fit is passed over. Jobs appear in the order they start.

    Raises:
        ValueError: a job asks for more GPUs than a node has, or waits for itself or for a job that
            there is not.
    """
    return _Simulation(tasks, cluster).run()


class _Simulation:
    def __init__(self, tasks: Sequence[Task], cluster: Cluster) -> None:
        self.cluster = cluster
        self.tasks = {task.key: task for task in tasks}
        self.order = {task.key: (-task.priority, at) for at, task in enumerate(tasks)}
        self.waits = {task.key: set(task.after) for task in tasks}
        self.followers: dict[str, list[str]] = {}
        for task in tasks:
            if task.gpus > max(cluster.nodes):
                raise ValueError(f"{task.key} asks for {task.gpus} GPUs, no node has so many")
            for key in task.after:
                self.followers.setdefault(key, []).append(task.key)
        self.ready = sorted((key for key in self.waits if not self.waits[key]), key=self._place)
        self.free = list(cluster.nodes)
        self.at_the_cluster = 0
        self.next_submission = 0.0
        self.ran: list[Ran] = []
        self.events: list[tuple[float, int, str, int]] = []  # time, kind, job, node

    def run(self) -> list[Ran]:
        now = 0.0
        self._start(now)
        while self.events:
            now = self.events[0][0]
            while self.events and self.events[0][0] == now:
                self._happen(*heapq.heappop(self.events))
            self._start(now)
        if len(self.ran) < len(self.tasks):
            left = self.tasks.keys() - {one.task.key for one in self.ran}
            raise ValueError(f"wait for each other, or for what there is not: {sorted(left)}")
        return self.ran

    def _happen(self, now: float, kind: int, key: str, node: int) -> None:
        """0: a job ends and frees its GPUs; 1: its end is seen; 2: a submission is allowed."""
        if kind == 0:
            self.free[node] += self.tasks[key].gpus
            heapq.heappush(self.events, (now + self.cluster.notice, 1, key, node))
        elif kind == 1:
            self.at_the_cluster -= 1
            for follower in self.followers.get(key, ()):
                self.waits[follower].discard(key)
                if not self.waits[follower]:
                    self.ready.append(follower)
            self.ready.sort(key=self._place)

    def _start(self, now: float) -> None:
        """Start what is ready and fits."""
        for key in list(self.ready):
            if self.at_the_cluster == self.cluster.jobs:
                return
            node = self._node(self.tasks[key].gpus)
            if node is None:
                continue
            if now < self.next_submission:
                heapq.heappush(self.events, (self.next_submission, 2, key, 0))
                return
            self.ready.remove(key)
            self.next_submission = now + self.cluster.spacing
            self.free[node] -= self.tasks[key].gpus
            self.at_the_cluster += 1
            end = now + self.tasks[key].seconds
            self.ran.append(Ran(self.tasks[key], now, end))
            heapq.heappush(self.events, (end, 0, key, node))

    def _node(self, gpus: int) -> int | None:
        """The node with the fewest free GPUs that are enough."""
        fitting = [at for at, free in enumerate(self.free) if free >= gpus]
        return min(fitting, key=lambda at: self.free[at], default=None)

    def _place(self, key: str) -> tuple[int, int]:
        return self.order[key]


def makespan(ran: Sequence[Ran]) -> float:
    """Seconds from the start to the last end."""
    return max((one.end for one in ran), default=0.0)


def gpu_seconds(tasks: Sequence[Task]) -> float:
    """GPUs times seconds of all jobs."""
    return sum(task.gpus * task.seconds for task in tasks)


def idle_share(ran: Sequence[Ran], cluster: Cluster) -> float:
    """Share of the GPUs' time, from the start to the last end, in which they do nothing."""
    whole = cluster.gpus * makespan(ran)
    return 1 - gpu_seconds([one.task for one in ran]) / whole if whole else 0.0


def by_what_follows(tasks: Sequence[Task]) -> list[Task]:
    """The same jobs with the length of the longest chain that each begins, in s, as priority."""
    by_key: Mapping[str, Task] = {task.key: task for task in tasks}
    follows: dict[str, float] = dict.fromkeys(by_key, 0.0)
    for key in reversed(_in_order(by_key)):
        for one in by_key[key].after:
            follows[one] = max(follows[one], follows[key] + by_key[key].seconds)
    return [replace(task, priority=round(follows[task.key] + task.seconds)) for task in tasks]


def longest_path(tasks: Sequence[Task]) -> list[Task]:
    """The chain of jobs that no number of GPUs makes shorter, first to last."""
    by_key: Mapping[str, Task] = {task.key: task for task in tasks}
    length: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for key in _in_order(by_key):
        task = by_key[key]
        last = max(sorted(task.after), key=lambda one: length[one], default=None)
        before[key] = last
        length[key] = task.seconds + (length[last] if last else 0.0)
    path: list[Task] = []
    at = max(length, key=lambda key: length[key], default=None)
    while at is not None:
        path.append(by_key[at])
        at = before[at]
    return path[::-1]


def _in_order(tasks: Mapping[str, Task]) -> list[str]:
    """Keys, each after all that it waits for."""
    return list(TopologicalSorter({key: task.after for key, task in tasks.items()}).static_order())
