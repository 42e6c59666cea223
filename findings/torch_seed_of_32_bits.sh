#!/usr/bin/env bash
# torch 2.13.0: the generator on the CPU draws by the low 32 bits of its seed.
# Expected: seeds of 64 bits that differ give different numbers.
# Seen: 7 and 7 + 2^32 give the same numbers, though `initial_seed` tells them apart.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch torch==2.13.0 numpy==2.3.5
python - <<'PY'
import torch


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return generator.initial_seed(), torch.rand(1000, generator=generator).tolist()


(one, first), (other, second), (_, third) = drawn(7), drawn(7 + 2**32), drawn(8)
print("torch", torch.__version__)
print("expected: seeds", one, "and", other, "draw different numbers")
print("seen:     the same 1000 numbers:", first == second, "| seed 8:", first == third)
assert one != other and first == second and first != third, "the behaviour has changed"
PY
