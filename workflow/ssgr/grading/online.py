"""Judging while sampling goes on: responses go in as they finish, outcomes come out.

Early stop needs to know how the responses so far came out. They are judged by `grade`, the very
function of the grading stage, in a thread, so that a slow answer never holds the engine up.
"""

from queue import Empty, SimpleQueue
from threading import Thread
from typing import Self

import polars as pl

from ssgr.config import Filters
from ssgr.grading.spec import Judging
from ssgr.grading.tabulate import grade
from ssgr.selection.early_stop import Outcome, outcomes

Judged = tuple[str, int, Outcome]
"""(problem_id, sample, outcome)."""


class OnlineGrader:
    """Grades batches of responses in a thread; a context manager that ends it."""

    def __init__(self, problems: pl.DataFrame, judging: Judging, filters: Filters) -> None:
        """Judge against the answers of ``problems``; ``filters`` decide what is fit."""
        self._problems, self._judging, self._filters = problems, judging, filters
        self._in: SimpleQueue[pl.DataFrame | None] = SimpleQueue()
        self._out: SimpleQueue[list[Judged] | BaseException] = SimpleQueue()
        self._batches = 0
        self._thread = Thread(target=self._work, name="online-grader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._in.put(None)
        self._thread.join()

    @property
    def busy(self) -> bool:
        """Whether something was submitted whose outcome was not handed out yet."""
        return self._batches > 0

    def submit(self, responses: pl.DataFrame) -> None:
        """Have a Responses table judged."""
        self._batches += 1
        self._in.put(responses)

    def judged(self, wait: bool) -> list[Judged]:
        """Return the outcomes that are ready; with ``wait``, at least one batch if busy.

        Raises:
            Whatever `grade` raised in the thread.
        """
        ready: list[Judged] = []
        while self.busy:
            try:
                batch = self._out.get(block=wait and not ready)
            except Empty:
                break
            if isinstance(batch, BaseException):
                raise batch
            self._batches -= 1
            ready += batch
        return ready

    def _work(self) -> None:
        while (first := self._in.get()) is not None:
            waiting = [first]
            while not self._in.empty():
                more = self._in.get()
                if more is None:
                    return
                waiting.append(more)
            try:
                judged = self._judge(pl.concat(waiting))
            except BaseException as error:  # handed on: the sampling thread raises it
                self._out.put(error)
                return
            self._out.put(judged)
            for _ in waiting[1:]:
                self._out.put([])

    def _judge(self, responses: pl.DataFrame) -> list[Judged]:
        graded = grade(responses, self._problems, **self._judging.model_dump())
        samples = int(graded["sample"].max()) + 1  # type: ignore[arg-type]
        return [
            (problem_id, sample, outcome)
            for problem_id, of_problem in outcomes(graded, self._filters, samples).items()
            for sample, outcome in enumerate(of_problem)
            if outcome is not None
        ]
