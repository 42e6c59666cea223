#!/usr/bin/env bash
# Snakemake 9.27.1: a param that is a function of a job's input is left out when params are compared.
# Expected: a param whose value has changed makes the output again, however it is computed.
# Seen: "Nothing to be done" where the function takes `input` beside `wildcards`; a rerun where it does not.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch snakemake==9.27.1

cat > Snakefile <<'SNAKEFILE'
def of_input(wildcards, input):
    return config["value"]

def of_wildcards(wildcards):
    return config["value"]

rule all:
    input: "of_input.txt", "of_wildcards.txt"

rule one:
    input: "data.txt"
    output: "of_input.txt"
    params: value=of_input
    shell: "echo {params.value} > {output}"

rule two:
    input: "data.txt"
    output: "of_wildcards.txt"
    params: value=of_wildcards
    shell: "echo {params.value} > {output}"
SNAKEFILE
touch data.txt
run() { snakemake --cores 1 --quiet all --config value="$1" > log.txt 2>&1 || { cat log.txt; exit 2; }; }

run first
run second
seen="$(cat of_input.txt) $(cat of_wildcards.txt)"
echo "snakemake $(snakemake --version)"
echo "expected: second second"
echo "seen:     $seen"
[ "$seen" = "first second" ] || { echo "the behaviour has changed"; exit 1; }
