"""Request scheduler: all samples, or only those that early stopping still requires."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import polars as pl

from ssgr.grading.online import OnlineGrader
from ssgr.sampling.protocol import Prompt, Request, Response
from ssgr.selection.early_stop import Needs, Outcome


class Scheduler:
    """Hands out the requests of n responses to each prompt that are still missing.

    With a grader, a problem's later samples wait until it is certain that they are needed
    (`ssgr.selection.early_stop`); what comes back is judged as it comes. Which responses are drawn
    in the end depends on their content only, never on the order in which they finished.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        n: int,
        *,
        known: Iterable[tuple[str, int]] = (),
        needs: Needs | None = None,
        grader: OnlineGrader | None = None,
        table: Callable[[Sequence[Response]], pl.DataFrame] | None = None,
    ) -> None:
        """Leave out what is ``known``: (problem_id, sample) pairs, which the caller submits.

        ``needs``, ``grader`` and ``table`` (responses as a Responses table) go together.
        """
        self._prompts = {prompt.problem_id: prompt for prompt in prompts}
        self._unvisited = deque(prompts)
        self._known = set(known)
        self._outcomes: dict[str, list[Outcome | None]] = {
            prompt.problem_id: [None] * n for prompt in prompts
        }
        self._asked = dict.fromkeys(self._prompts, 0)
        self._drawn = dict.fromkeys(self._prompts, 0)
        self._waiting: deque[Request] = deque()
        self._finished: set[str] = set()
        self._needs, self._grader, self._table, self._n = needs, grader, table, n
        for problem_id, sample in self._known:
            self._drawn[problem_id] += sample < n

    def take(self, wait: bool) -> Request | None:
        """Return the next request; see `ssgr.sampling.protocol.Work`."""
        self._hear(wait=False)
        while not (request := self._next()):
            if not (wait and self._grader and self._grader.busy):
                return None
            self._hear(wait=True)
        return request

    def add(self, response: Response) -> None:
        """Take back a finished response."""
        self._drawn[response.problem_id] += 1
        self._note(response.problem_id)
        if self._grader and self._table:
            self._grader.submit(self._table([response]))

    @property
    def problems(self) -> int:
        """Problems in all."""
        return len(self._prompts)

    @property
    def finished(self) -> int:
        """Problems of which everything that is needed has been drawn, as far as is known."""
        return len(self._finished)

    @property
    def anything(self) -> bool:
        """Whether anything is missing; waits until what is known has been judged."""
        request = self.take(wait=True)
        if request:
            self._waiting.appendleft(request)
        return request is not None

    def _next(self) -> Request | None:
        while not self._waiting and self._unvisited:
            self._ask(self._unvisited.popleft().problem_id)
        return self._waiting.popleft() if self._waiting else None

    def _limit(self, problem_id: str) -> int:
        if self._needs is None or self._grader is None:
            return self._n
        return self._needs.prefix(self._outcomes[problem_id])

    def _ask(self, problem_id: str) -> None:
        """Queue the samples that have become needed, before those of problems not yet begun."""
        asked, limit = self._asked[problem_id], self._limit(problem_id)
        prompt = self._prompts[problem_id]
        self._waiting.extend(
            Request(prompt, sample)
            for sample in range(asked, limit)
            if (problem_id, sample) not in self._known
        )
        self._asked[problem_id] = max(asked, limit)
        self._note(problem_id)

    def _note(self, problem_id: str) -> None:
        """Keep count of finished problems."""
        if self._drawn[problem_id] >= self._asked[problem_id]:
            self._finished.add(problem_id)
        else:
            self._finished.discard(problem_id)

    def _hear(self, wait: bool) -> None:
        if self._grader is None:
            return
        heard = self._grader.judged(wait)
        for problem_id, sample, outcome in heard:
            self._outcomes[problem_id][sample] = outcome
        for problem_id in dict.fromkeys(problem_id for problem_id, _, _ in heard):
            if self._asked[problem_id]:
                self._ask(problem_id)
