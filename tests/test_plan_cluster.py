"""The simulated cluster, against makespans worked out by hand."""

import pytest

from cluster_model import (
    Cluster,
    Task,
    by_what_follows,
    gpu_seconds,
    idle_share,
    longest_path,
    makespan,
    simulate,
)
from growing_dag import grown


def task(key: str, seconds: float, gpus: int = 1, after: str = "", priority: int = 0) -> Task:
    return Task(key, seconds, gpus, frozenset(after), priority)


def starts(tasks: list[Task], cluster: Cluster) -> dict[str, float]:
    return {one.task.key: one.start for one in simulate(tasks, cluster)}


DIAMOND = [task("a", 2), task("b", 3, after="a"), task("c", 5, after="a"), task("d", 1, after="bc")]


@pytest.mark.parametrize(("nodes", "seconds"), [((1,), 11), ((2,), 8), ((1, 1), 8), ((8,), 8)])
def test_a_diamond_takes_its_longest_side_if_there_is_room(
    nodes: tuple[int, ...], seconds: float
) -> None:
    ran = simulate(DIAMOND, Cluster(nodes))
    assert makespan(ran) == seconds
    assert gpu_seconds(DIAMOND) == 11
    assert idle_share(ran, Cluster(nodes)) == pytest.approx(1 - 11 / (sum(nodes) * seconds))


def test_the_longest_path_is_what_no_gpu_makes_shorter() -> None:
    assert [one.key for one in longest_path(DIAMOND)] == ["a", "c", "d"]
    assert longest_path([]) == []


def test_what_begins_the_longest_chain_goes_first() -> None:
    """On two GPUs, in the order given: 5 s, then 1 + 10; the chain first: 1 + 10, 6 + 5 beside."""
    jobs = [task("a", 5), task("b", 6), task("c", 1), task("d", 10, after="c")]
    assert makespan(simulate(jobs, Cluster((1, 1)))) == 16
    chain_first = by_what_follows(jobs)
    assert [each.priority for each in chain_first] == [5, 6, 11, 10]
    assert makespan(simulate(chain_first, Cluster((1, 1)))) == 11


def test_seven_equal_jobs_on_three_gpus_take_three_rounds() -> None:
    jobs = [task(key, 10) for key in "abcdefg"]
    ran = simulate(jobs, Cluster((2, 1)))
    assert makespan(ran) == 30
    assert idle_share(ran, Cluster((2, 1))) == pytest.approx(2 / 9)


def test_a_job_lies_on_one_node() -> None:
    """Two nodes of two GPUs: a job of two waits until one node is whole, small ones pass it."""
    jobs = [task("a", 4), task("b", 6), task("c", 1, gpus=2), task("d", 4)]
    assert starts(jobs, Cluster((2,))) == {"a": 0, "b": 0, "d": 4, "c": 8}
    # a and b share the node that is fuller, so that the other stays whole
    assert starts(jobs, Cluster((2, 2))) == {"a": 0, "b": 0, "c": 0, "d": 1}
    with pytest.raises(ValueError, match="c asks for 2 GPUs"):
        simulate(jobs, Cluster((1, 1)))


def test_priority_comes_before_order() -> None:
    jobs = [task("a", 3), task("b", 3, priority=10)]
    assert starts(jobs, Cluster((1,))) == {"b": 0, "a": 3}


def test_jobs_without_a_gpu_run_beside_but_count_as_jobs() -> None:
    jobs = [task("a", 5), task("b", 2, gpus=0), task("c", 2, gpus=0)]
    assert starts(jobs, Cluster((1,))) == {"a": 0, "b": 0, "c": 0}
    assert starts(jobs, Cluster((1,), jobs=2)) == {"a": 0, "b": 0, "c": 2}


def test_what_the_engine_adds() -> None:
    """One submission every 2 s, an end seen after 3 s: a job's slot and its followers wait."""
    jobs = [task("a", 4), task("b", 4), task("c", 1, after="a")]
    assert starts(jobs, Cluster((8,), spacing=2)) == {"a": 0, "b": 2, "c": 4}
    assert starts(jobs, Cluster((8,), notice=3)) == {"a": 0, "b": 0, "c": 7}
    assert starts(jobs, Cluster((8,), jobs=1, notice=3)) == {"a": 0, "b": 7, "c": 14}
    # the GPU itself is free at once
    assert starts(jobs[:2], Cluster((1,), notice=3)) == {"a": 0, "b": 4}


def test_a_circle_and_a_missing_job_are_told() -> None:
    with pytest.raises(ValueError, match=r"wait for each other.*'a', 'b'"):
        simulate([task("a", 1, after="b"), task("b", 1, after="a")], Cluster((1,)))
    with pytest.raises(ValueError, match=r"what there is not: .'a'."):
        simulate([task("a", 1, after="x")], Cluster((1,)))


STAGES = {
    "source": ("source_problems", ""), "s": ("sample", "source"), "g": ("grade", "s source"),
    "t": ("tally", "g"), "u": ("tally", "g"), "x": ("select", "t source"),
    "y": ("select", "u source"), "p": ("prune", "x"), "z": ("select", "source"),
}  # fmt: skip


def two_calibrations() -> list[Task]:
    """One shard that two calibrations count; a third needs no responses. A GPU job takes 10 s."""
    return [
        Task(key, 10 if stage in ("sample", "prune") else 1, int(stage in ("sample", "prune")),
             frozenset(after.split()), stage=stage)
        for key, (stage, after) in STAGES.items()
    ]  # fmt: skip


def test_one_wave_is_the_dag_itself() -> None:
    assert grown(two_calibrations(), 1) == two_calibrations()


def test_a_further_wave_waits_for_the_first_count_that_asks() -> None:
    found = {task.key: task for task in grown(two_calibrations(), 3)}
    waits = {key: set(task.after) for key, task in found.items()}
    assert waits["s+1"] == {"source", "t"}
    assert waits["s+2"] == {"source", "t+1"}
    assert waits["g+2"] == {"source", "s+2"}
    assert waits["u+2"] == {"g+2", "u+1"}
    assert waits["x"] == {"t+2", "source"}
    assert waits["z"] == {"source"}
    assert len(found) == len(STAGES) + 2 * 4
    # 1 for the problems; three waves of 10 + 1 + 1; select, prune
    ran = simulate(list(found.values()), Cluster((1,)))
    assert makespan(ran) == 1 + 3 * 12 + 1 + 10
    assert [task.key for task in longest_path(list(found.values()))] == [
        *("source", "s", "g", "t", "s+1", "g+1", "t+1", "s+2", "g+2", "t+2", "x", "p")
    ]
