#!/usr/bin/env bash
# math-verify 0.9.0: a thin space between groups of digits multiplies them.
# Expected: 27\,648 is 27648, the way many textbooks set thousands.
# Seen: it is read as another number, while 27,648 is read as 27648.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
python - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify

gold = parse("$27648$")
thin, comma = parse(r"$27\,648$"), parse("$27,648$")
print("math-verify", version("math-verify"))
print("expected:", gold[0], "for both spellings")
print("seen:     thin space:", thin[0], "| comma:", comma[0])
assert verify(gold, comma) and not verify(gold, thin), "the behaviour has changed"
PY
