#!/usr/bin/env bash
# math-verify 0.9.0: two equations without real solutions are called equal.
# Expected: x^2+1=0 and x^2+5=0 differ, as x^2-1=0 and x^2-5=0 do.
# Seen: True for the first pair: what is compared is two empty lists of solutions.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
python - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def equal(one, other):
    return verify(parse(f"${one}$"), parse(f"${other}$"))


without, real = equal("x^2+1=0", "x^2+5=0"), equal("x^2-1=0", "x^2-5=0")
print("math-verify", version("math-verify"))
print("expected: False for both pairs")
print("seen:     without real solutions:", without, "| with:", real)
assert (without, real) == (True, False), "the behaviour has changed"
PY
