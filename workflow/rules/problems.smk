# Needs:  the registry's sources and benchmarks: abacus's, local files, or files of the hub
# Makes:  {results}/problems/source=…/problems.parquet and …/benchmark=…/problems.parquet
#         {results}/problems/source=…/dropped.parquet: duplicates, and what a benchmark asks too
#
# A confidential benchmark's problems stand in the user's cache; problems.parquet is a link to them.


rule source_problems:
    input:
        files=source_files,
        apart_from=kept_apart,
    output:
        problems=made(paths.SOURCE),
        dropped=made(paths.DROPPED),
    log:
        log_of("source_problems"),
    benchmark:
        cost_of("source_problems")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.source_problems,
    message:
        "Problems of the source {wildcards.source}"
    shell:
        "python -m ssgr problems --spec {params.spec:q} --out {output.problems:q} > {log:q} 2>&1"


use rule source_problems as benchmark_problems with:
    input:
        files=benchmark_files,
    output:
        problems=made(paths.BENCHMARK),
    log:
        log_of("benchmark_problems"),
    benchmark:
        cost_of("benchmark_problems")
    params:
        spec=SPECS.benchmark_problems,
    message:
        "Problems of the benchmark {wildcards.benchmark}"
