#!/usr/bin/env bash
# math-verify 0.9.0: a capital letter and its small one become one name.
# Expected: R-r is no constant: R and r are a large and a small radius.
# Seen: R-r is equal to 0.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
python - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify


def equal(one, other):
    return verify(parse(f"${one}$"), parse(f"${other}$"))


cased, distinct = equal("R-r", "0"), equal("R-s", "0")
print("math-verify", version("math-verify"))
print("expected: False for both")
print("seen:     R-r and 0:", cased, "| R-s and 0:", distinct)
assert (cased, distinct) == (True, False), "the behaviour has changed"
PY
