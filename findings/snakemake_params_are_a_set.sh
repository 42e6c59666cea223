#!/usr/bin/env bash
# Snakemake 9.27.1: the values of a rule's params are compared as a set, without their names.
# Expected: first=a, second=b after first=b, second=a makes the output again, as any other value does.
# Seen: "Nothing to be done" after the swap; a new value reruns the job.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch snakemake==9.27.1

write() {
    printf 'rule all:\n    output: "out.txt"\n    params: first="%s", second="%s"\n' "$1" "$2" > Snakefile
    printf '    shell: "echo {params.first} {params.second} > {output}"\n' >> Snakefile
}
run() { snakemake --cores 1 --quiet all > log.txt 2>&1 || { cat log.txt; exit 2; }; }

write a b && run
write b a && run
swapped="$(cat out.txt)"
write b c && run
other="$(cat out.txt)"
echo "snakemake $(snakemake --version)"
echo "expected: b a, then b c"
echo "seen:     $swapped, then $other"
[ "$swapped" = "a b" ] && [ "$other" = "b c" ] || { echo "the behaviour has changed"; exit 1; }
