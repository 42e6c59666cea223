"""The length rules by name, each in a file of its own.

A rule takes one of a problem's candidate responses. The registry is filled by importing every
module of this folder, so that the digest of one rule's code holds no other rule.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from random import Random
from typing import Literal, Protocol


class LengthRule(Protocol):
    """Takes one of a problem's candidate responses.

    ``lengths`` is ascending, in tokens; ``limit`` is l' = l - l_q, the room that the question
    leaves; ``draws[i]`` is the draw number of candidate i. Returns the index of the one taken.
    """

    def __call__(
        self,
        lengths: Sequence[int],
        limit: int,
        draws: Sequence[int] = (),
        rng: Random | None = None,
    ) -> int:
        """Return the index of the response taken."""
        ...


LENGTH_RULES: dict[str, LengthRule] = {}
AMONG: dict[str, Literal["correct", "wrong"]] = {}
FIRST: set[str] = set()
"""Rules that take the first candidate drawn, whatever comes after it."""


def length_rule(
    name: str, among: Literal["correct", "wrong"] = "correct", *, first: bool = False
) -> Callable[[LengthRule], LengthRule]:
    """Register a length rule under ``name``; it chooses among correct or wrong responses.

    ``first`` says that it takes the first one drawn, so that no later one can matter.
    """

    def register(rule: LengthRule) -> LengthRule:
        LENGTH_RULES[name] = rule
        AMONG[name] = among
        if first:
            FIRST.add(name)
        return rule

    return register


def module_of(name: str) -> str:
    """Return the module that holds a length rule, as `code_digest` takes it.

    Raises:
        KeyError: there is no such rule.
    """
    return LENGTH_RULES[name].__module__


for found in iter_modules(__path__, f"{__name__}."):
    import_module(found.name)
