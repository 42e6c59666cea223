#!/usr/bin/env bash
# Snakemake 9.27.1: a second run that has nothing to do removes the lock of the first.
# Expected: the first run's lock stays while it runs, and a third run of its job is refused.
# Seen: the folder of locks is removed as a whole, and the third run does the job beside the first.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch snakemake==9.27.1
cat > Snakefile <<'SMK'
rule long:
    output: "long.txt"
    shell: "echo begun >> begun.txt; while ! test -e go; do sleep 0.2; done; touch {output}"
rule short:
    output: "short.txt"
    shell: "touch {output}"
SMK
touch short.txt
snakemake --cores 1 long &> first.log &
first=$!
until test -e begun.txt; do sleep 0.2; done
if snakemake --cores 1 long &> refused.log; then echo "not refused while the lock is there"; exit 1; fi
grep -q "cannot be locked" refused.log
snakemake --cores 1 short 2>&1 | grep "Nothing to be done"
snakemake --cores 1 long &> third.log &
third=$!
sleep 5
touch go
wait $first $third
times=$(wc -l < begun.txt)
echo "The job was begun $times times at once."
test "$times" = 2
