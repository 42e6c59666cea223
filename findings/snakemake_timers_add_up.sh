#!/usr/bin/env bash
# Snakemake 9.27.1: with the default limit of new jobs a second, timers add up over a run.
# Expected: one timer at a time looks again at the waiting jobs once the time span is over.
# Seen: every finished job adds one that renews itself, so that a long job is waited for by many.
# Reported there as issues 3744 and 3804.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch snakemake==9.27.1
cat > Snakefile <<'SMK'
rule all:
    input: "last.txt"
rule short:
    output: "short/{i}.txt"
    shell: "touch {output}"
rule long:
    input: expand("short/{i}.txt", i=range(20))
    output: "long/{i}.txt"
    shell: "sleep 4; touch {output}"
rule last:
    input: expand("long/{i}.txt", i=range(3))
    output: "last.txt"
    shell: "touch {output}"
SMK
cat > counted.py <<'PY'
import sys
import threading

from snakemake.cli import main

most = 0
start = threading.Timer.start


def counted(timer):
    global most
    start(timer)
    most = max(most, sum(isinstance(thread, threading.Timer) for thread in threading.enumerate()))


threading.Timer.start = counted
try:
    main(["--cores", "1", "--quiet", "all"])
finally:
    print("seen:     at most", most, "timers at once")
    with open("most.txt", "w") as file:
        file.write(str(most))
PY
echo "snakemake $(snakemake --version)"
echo "expected: one timer at a time"
python counted.py || true
[ -f last.txt ] || { echo "the workflow did not finish"; exit 2; }
[ "$(cat most.txt)" -gt 5 ] || { echo "the behaviour has changed"; exit 1; }
