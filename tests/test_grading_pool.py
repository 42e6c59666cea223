"""Grading of many answers: children that can be killed, and the table of grades."""

import importlib
import itertools
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import monotonic, process_time
from typing import Any

import psutil
import pytest

from ssgr.config.conventions import DEFAULT
from ssgr.errors import SsgrError, TableError
from ssgr.grading import (
    Conventions,
    Verdict,
    child,
    grade,
    judge,
    judge_response,
    process,
    workers,
)
from ssgr.grading.process import ChildProcess, Limits
from ssgr.grading.workers import judge_pairs
from ssgr.storage.tables import Grades
from synthetic_answers import problems_table, responses_table

judging = importlib.import_module("ssgr.grading.judge")  # the name is that of its function, too
SLOW = ("x+1", "x+7")
"""A pair that only a child can judge; harmless, a stand-in judge makes it slow."""
SPIN = "any(iter(int, 1))"
"""Computes for ever, within one call of C, as a library does that multiplies huge numbers."""


# --- child processes ----------------------------------------------------------------------------


def worker_of(child: ChildProcess) -> int:
    """The process that judges, which the child has forked."""
    assert child._process is not None
    return psutil.Process(child._process.pid).children()[0].pid


def resident() -> ChildProcess:
    """The child that is kept between calls, started if need be."""
    assert judge("x+1", "1+x").verdict == "correct"
    return workers._CREW[0]


def children_that(act: str, monkeypatch: pytest.MonkeyPatch, *, on: str | None = None) -> None:
    """Have new children judge by this expression: every answer, or that one and others as ever."""
    workers.close()
    judge = act if on is None else f"{act} if asked['answer'] == {on!r} else real(asked)"
    judges = (
        f"import os, time, {child.__name__} as c; real = c._judge; "
        f"c._judge = lambda asked: {judge}; "
    )
    before, of_child = process.PROGRAM.split("from ")
    monkeypatch.setattr(process, "PROGRAM", f"{before}{judges}from {of_child}")


@pytest.fixture
def own_children() -> Iterator[None]:
    """End the children that a test has changed."""
    yield
    workers.close()


@pytest.mark.usefixtures("own_children")
@pytest.mark.parametrize("act", [SPIN, "time.sleep(100) or 'correct'", "os._exit(3)"])
def test_a_judge_that_hangs_or_dies_costs_no_other_verdict(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_that(act, monkeypatch, on=SLOW[1])
    pairs = [SLOW, ("x+1", "1+x"), ("x+2", "1+x")]
    verdicts = judge_pairs(pairs, time_limit=1.5, workers=2)
    assert [verdicts[pair].verdict for pair in pairs] == ["timed-out", "correct", "wrong"]
    assert judge(*SLOW, time_limit=0.5).verdict == "timed-out"
    assert judge("x+3", "3+x").verdict == "correct"


def test_a_time_out_is_retried_once_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[str], float]] = []

    def ask(crew: list[ChildProcess], pairs: list[tuple[str, str]], _: Conventions,
            limits: Limits) -> dict[Any, Verdict]:  # fmt: skip
        asked.append((len(crew), [answer for _, answer in pairs], limits.processor))
        late = {"hopeless", "slow"} if len(asked) == 1 else {"hopeless"}
        return {
            (gold, answer): Verdict(
                answer, "timed-out" if answer in late else "correct", "math-verify", 0.0
            )
            for gold, answer in pairs
        }

    monkeypatch.setattr(workers, "_ask", ask)
    answers = ["slow", "fast", "hopeless"]
    verdicts = judge_pairs([("x", a) for a in answers], time_limit=5.0, workers=3)
    assert [verdicts["x", a].verdict for a in answers] == ["correct", "correct", "timed-out"]
    assert asked == [(3, answers, 2.0), (1, ["slow", "hopeless"], 3.0)]


@pytest.mark.usefixtures("own_children")
def test_a_killed_worker_costs_its_own_verdict_only(monkeypatch: pytest.MonkeyPatch) -> None:
    children_that("time.sleep(100) or 'correct'", monkeypatch, on=SLOW[1])
    child = resident()
    gold, answer = SLOW
    child.ask({"gold": gold, "answer": answer, "conventions": {}}, Limits(60, 60, 60))
    while child._worker is None:
        assert child.answer() is None
    os.kill(worker_of(child), signal.SIGKILL)
    assert child.answer() == "timed-out"
    assert judge("x+4", "4+x").verdict == "correct"


def test_workers_and_children_killed_while_idle_cost_nothing() -> None:
    child = resident()
    os.kill(worker_of(child), signal.SIGKILL)
    assert judge("x+5", "5+x").verdict == "correct"
    assert child._process is not None
    os.killpg(child._process.pid, signal.SIGKILL)
    assert judge("x+6", "6+x").verdict == "correct"
    assert judge("x+6", "x+7").verdict == "wrong"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a process waited")
@pytest.mark.usefixtures("own_children")
def test_a_child_that_hangs_without_computing_is_ended_by_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children_that("time.sleep(100) or 'correct'", monkeypatch)
    monkeypatch.setattr(workers, "CAP_FACTOR", 1000.0)  # the cap is not what ends it
    start = monotonic()
    verdict = judge_pairs([("x", "x+1")], time_limit=1.0)["x", "x+1"]
    assert verdict.verdict == "timed-out"
    assert monotonic() - start < 60  # not the sleep's 100 s
    assert workers._CREW[0]._process is not None and workers._CREW[0]._process.poll() is None


@pytest.mark.usefixtures("own_children")
def test_a_child_that_waits_for_a_processor_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    children_that("time.sleep(0.5) or 'correct'", monkeypatch)
    looks = itertools.count()
    monkeypatch.setattr(process, "processor_wait", lambda _: 1000.0 * next(looks))
    limits = Limits(100.0, 0.1, 100.0)
    (child,) = workers._crew(1, workers.MEMORY_LIMIT)
    assert workers._ask([child], [("x", "y")], DEFAULT, limits)["x", "y"].verdict == "correct"
    assert next(looks) > 1  # it was looked at, and let go on
    monkeypatch.setattr(process, "processor_wait", lambda _: 0.0)
    assert workers._ask([child], [("x", "y")], DEFAULT, limits)["x", "y"].verdict == "timed-out"


@pytest.mark.usefixtures("own_children")
def test_a_busy_child_is_ended_by_its_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    children_that(SPIN, monkeypatch)
    (child,) = workers._crew(1, workers.MEMORY_LIMIT)
    limits = Limits(0.3, 1000.0, 1000.0)
    assert workers._ask([child], [("x", "y")], DEFAULT, limits)["x", "y"].verdict == "timed-out"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a process waited")
def test_how_long_a_process_waited_for_a_processor() -> None:
    """Two busy ones that share a processor run or wait all the time."""
    program = (
        "import os, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ssgr.grading.process import processor_wait as wait\n"
        "waited, start, ran = wait(os.getpid()), time.monotonic(), time.process_time()\n"
        "while time.monotonic() - start < 0.5: pass\n"
        "waited, ran = wait(os.getpid()) - waited, time.process_time() - ran\n"
        "print((waited + ran) / (time.monotonic() - start))"
    )
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for busy in both:
        assert 0.6 < float(busy.communicate()[0]) < 1.2
    assert process.processor_wait(2**22 + 1) is None


def test_a_silent_child_is_stopped_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChildProcess, "GRACE", 0.0)
    os.kill(worker_of(resident()), signal.SIGSTOP)
    verdict = workers._ask(workers._CREW[:1], [("x", "x+1")], DEFAULT, Limits(0.1, 0.1, 0.1))[
        "x", "x+1"
    ]
    assert verdict.verdict in ("timed-out", "wrong")  # not begun: it is asked again
    assert judge("x+8", "8+x").verdict == "correct"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise ImportError('no math-verify here') #", "math-verify"),
        ("print('{}', flush=True); raise SystemExit #", "ended before they had read a question"),
    ],
)
def test_children_that_cannot_start_or_end_at_once_are_an_error(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.close()
    monkeypatch.setattr(process, "PROGRAM", program)
    with pytest.raises(SsgrError, match=said):
        judge_pairs([("x+1", "1+x")])


def test_no_child_starts_for_quick_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    workers.close()

    def start(_: ChildProcess) -> None:
        raise AssertionError("a child started")

    monkeypatch.setattr(ChildProcess, "start", start)
    pairs = [("42", "42"), ("42", "41"), ("42", None), ("1,2", "2, 1")]
    verdicts = judge_pairs(pairs)
    assert [verdicts[p].verdict for p in pairs] == ["correct", "wrong", "no-answer", "correct"]
    with pytest.raises(AssertionError, match="a child started"):
        judge_pairs([("x+1", "1+x")])


def test_equal_pairs_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str | None] = []

    def count(gold: str, answer: str | None, method: str, conventions: Conventions) -> Verdict:
        judged.append(answer)
        return Verdict(answer, "correct", method, 0.0)

    monkeypatch.setattr(workers, "judge_quickly", count)
    judge_pairs([("1", "1"), ("1", "2"), ("1", "1")])
    assert judged == ["1", "2"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
@pytest.mark.usefixtures("own_children")
def test_a_worker_that_wants_too_much_memory_dies_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    children_that(f"bytearray({2 * workers.MEMORY_LIMIT}) and 'correct'", monkeypatch, on=SLOW[1])
    pairs = [SLOW, ("x+1", "1+x")]
    verdicts = judge_pairs(pairs, time_limit=300.0)
    assert [verdicts[pair].verdict for pair in pairs] == ["timed-out", "correct"]
    assert verdicts[SLOW].milliseconds < 100_000  # it was not the time


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the address space")
@pytest.mark.usefixtures("own_children")
@pytest.mark.parametrize(("said", "verdict"), [("wrong", "timed-out"), ("correct", "correct")])
def test_a_wrong_that_took_much_memory_is_doubtful(
    said: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = workers.MEMORY_LIMIT // 2  # address space only: no page of it is touched
    children_that(f"bytearray({taken}) and {said!r}", monkeypatch, on=SLOW[1])
    assert judge_pairs([SLOW], time_limit=300.0)[SLOW].verdict == verdict


def test_a_program_without_a_main_guard_can_grade(tmp_path: Path) -> None:
    script = tmp_path / "grades.py"
    script.write_text(
        "import ssgr.grading.workers as pool\n"
        "pairs = [('x+1', '1+x'), ('x+2', '1+x')]\n"
        "verdicts = pool.judge_pairs(pairs, workers=2)\n"
        "print([verdicts[pair].verdict for pair in pairs])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['correct', 'wrong']"


# --- any input ------------------------------------------------------------------------------------


ODD: list[tuple[str, str, str]] = [
    (",".join(map(str, range(5000))), ",".join(map(str, range(5000))), "correct"),
    (",".join(map(str, range(900))), ",".join(map(str, range(1, 901))), "wrong"),
    ("1", " " * 100_000 + "1", "wrong"),
    ("1", "\x00\ud800\uffffx", "wrong"),
]


@pytest.mark.parametrize(("gold", "answer", "verdict"), ODD, ids=range(len(ODD)))
def test_odd_answers(gold: str, answer: str, verdict: str) -> None:
    assert judge_pairs([(gold, answer)], time_limit=2.0)[gold, answer].verdict == verdict


@pytest.mark.parametrize("answer", [r"\sqrt{x+\sqrt{x+\sqrt{x}}}", "x+1+2+3+4+5+6+7+8"])
def test_an_answer_beyond_the_limits_of_size_reaches_no_child(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the limits only a child can judge it; they are lowered, the input is harmless."""
    assert judging.judge_quickly("x+y", answer) is None
    monkeypatch.setattr(judging, "LONGEST", 16)
    monkeypatch.setattr(judging, "DEEPEST", 2)
    beyond = judging.judge_quickly("x+y", answer)
    assert beyond is not None and (beyond.verdict, beyond.method) == ("wrong", "size")
    same = judging.judge_quickly(answer, answer)
    assert same is not None and same.verdict == "correct"


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{1}" * 20_000,
        r"\boxed{" * 50_000,
        r"\boxed " * 50_000,
        "{" * 200_000 + r"\boxed{1}",
        "$" * 100_001,
        "\\" * 200_000 + "boxed{1}",
        "Answer: " * 50_000,
        "</think>" * 50_000,
        " " * 100_000,
        "1," * 50_000,
        "√(" * 30_000,
        r"\text{" * 30_000,
    ],
    ids=lambda text: text[:10],
)
def test_long_texts_take_linear_time(text: str) -> None:
    lenient = Conventions(
        boxes="joined", unclosed_box=True, unboxed="final", unboxed_letter="anywhere"
    )
    start = process_time()
    for conventions in (DEFAULT, lenient):
        for method in ("exact", "numeric", "choice", "pattern"):
            judge_response("1", text, conventions, method=method)
            judge("1", text[:5000], conventions, method=method)
    assert process_time() - start < 60  # the square of these lengths would take hours


MUTATIONS = int(os.environ.get("SSGR_MUTATIONS", "150"))
ALPHABET = [*"0123456789+-*/_=<>(){}[],.;:%$&|'\" xyabin", "\\", r"\frac", r"\sqrt", r"\boxed{",
            r"\text{", r"\pi", r"\le ", r"\cup", r"\pm", r"\infty", r"\begin{pmatrix}", r"\\",
            r"^\circ", r"\%", "½", "√", "\uff11", "\u200b", " cm", " or "]  # fmt: skip
SEEDS = ["42", r"\frac{1}{2}", "(1,2]", r"3\sqrt{13}", r"\{1,2,3\}", "x^2+2x+1", "10 \\text{ cm}",
         r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"2\pi", r"x \in (-\infty, 3)", "-5, 7",
         r"1 \pm \sqrt{2}", r"40\%", "k=n+1", "4-4i", "1011_2"]  # fmt: skip


def mutated(generator: random.Random) -> tuple[str, str]:
    """A gold and an answer made of it, or of another, by a few edits; rarely, of many copies."""
    gold = generator.choice(SEEDS)
    text = list(generator.choice([gold, generator.choice(SEEDS)]))
    for _ in range(generator.choice([1, 1, 2, 3, 6])):
        at = generator.randrange(len(text) + 1)
        match generator.randrange(4):
            case 0:
                text.insert(at, generator.choice(ALPHABET))
            case 1 if text:
                del text[at % len(text)]
            case 2 if text:
                text[at % len(text)] = generator.choice(ALPHABET)
            case _:
                text[at:at] = text[: generator.randint(0, 8)]
    return gold, "".join(text) * generator.choice([1] * 30 + [50])


def test_mutated_answers() -> None:
    """SSGR_MUTATIONS=10000 for all of them (ten minutes); no edit makes a power or a factorial."""
    generator = random.Random(20251121)
    pairs = [mutated(generator) for _ in range(MUTATIONS)]
    verdicts = judge_pairs(pairs, time_limit=5.0, workers=2)
    assert set(verdicts) == set(pairs)
    counts = Counter(verdict.verdict for verdict in verdicts.values())
    print(counts, "slowest", max(verdict.milliseconds for verdict in verdicts.values()), "ms")
    assert set(counts) <= {"correct", "wrong", "timed-out", "no-answer"}
    assert counts["timed-out"] <= len(pairs) // 20
    peak = getrusage(RUSAGE_CHILDREN).ru_maxrss  # kilobytes, of children that have ended
    assert peak * 1024 <= workers.MEMORY_LIMIT


# --- tables -------------------------------------------------------------------------------------


def test_grade_gives_one_valid_row_per_response_in_order() -> None:
    responses = responses_table(
        [
            ("b", 1, r"hm</think>\boxed{x+1}", "stop"),
            ("b", 0, r"hm</think>\boxed{1+x}", "stop"),
            ("a", 2, r"hm \boxed{4", "length"),
            ("a", 0, r"<think> </think>\boxed{5}", "stop"),
            ("a", 1, r"hm</think>\boxed{4.0}", "stop"),
        ]
    )
    grades = grade(responses, problems_table({"a": "4", "b": "x+1", "c": None}))
    assert Grades.is_valid(grades)
    assert grades.select("problem_id", "sample").rows() == [
        ("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert grades["verdict"].to_list() == ["wrong", "correct", "no-answer", "correct", "correct"]
    assert grades["correct"].to_list() == [False, True, False, True, True]
    assert grades["method"].to_list() == [
        "numeric", "numeric", "extraction", "math-verify", "exact",
    ]  # fmt: skip
    assert grades["extracted"].to_list() == ["5", "4.0", None, "1+x", "x+1"]
    assert grades["finished"].to_list() == [True, True, False, True, True]
    assert grades["has_thinking"].to_list() == [False, True, False, True, True]
    assert grades["has_answer"].to_list() == [True, True, False, True, True]
    assert grades["tokens"].to_list() == responses.sort("problem_id", "sample")["tokens"].to_list()


def test_grade_by_letter_and_of_nothing() -> None:
    responses = responses_table([("a", 0, "hm</think>Answer: C", "stop")])
    grades = grade(responses, problems_table({"a": "C"}), method="choice")
    assert grades["correct"].to_list() == [True]
    assert grade(responses.clear(), problems_table({"a": "C"})).schema == grades.schema


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"a": "4", "lost": None}, r"1 problem\(s\) \(lost\) without an answer"),
        ({"a": "4"}, r"\(lost\).*not in the table of problems"),
    ],
)
def test_a_problem_without_an_answer_or_a_row_is_named(
    answers: dict[str, str | None], said: str
) -> None:
    responses = responses_table([("a", 0, "", "stop"), ("lost", 0, "", "stop")])
    with pytest.raises(TableError, match=said):
        grade(responses, problems_table(answers))
