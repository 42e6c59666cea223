#!/usr/bin/env bash
# math-verify 0.9.0 with sympy 1.14.0: exact values nearer than about 1e-15 are called equal.
# Expected: two exact rationals are equal only if they are the same number.
# Seen: 1/10^20 and 3/10^20 are "equal", 1/10^3 and 3/10^3 are not.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
python - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def equal(one, other):
    return verify(parse(f"${one}$"), parse(f"${other}$"))


small = equal(r"\frac{1}{10^{3}}", r"\frac{3}{10^{3}}")
tiny = equal(r"\frac{1}{10^{20}}", r"\frac{3}{10^{20}}")
print("math-verify", version("math-verify"))
print("expected: False for both")
print("seen:     1/10^3 and 3/10^3:", small, "| 1/10^20 and 3/10^20:", tiny)
assert (small, tiny) == (False, True), "the behaviour has changed"
PY
