# Needs:  the registry's sources and benchmarks (a generator, or local files)
# Makes:  {results}/problems/source=…/problems.parquet and …/benchmark=…/problems.parquet


rule source_problems:
    input:
        source_files,
    output:
        SOURCE,
    log:
        f"{LOGS}/problems/source={{source}}.log",
    benchmark:
        f"{COSTS}/problems/source={{source}}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        data=source_data,
        code=provenance.code_digest("ssgr.problems"),
    message:
        "Problems of the source {wildcards.source}"
    shell:
        "python -m ssgr problems --data {params.data:q} --out {output:q} > {log:q} 2>&1"


use rule source_problems as benchmark_problems with:
    input:
        benchmark_files,
    output:
        BENCHMARK,
    log:
        f"{LOGS}/problems/benchmark={{benchmark}}.log",
    benchmark:
        f"{COSTS}/problems/benchmark={{benchmark}}.tsv"
    params:
        data=benchmark_data,
        code=provenance.code_digest("ssgr.problems"),
    message:
        "Problems of the benchmark {wildcards.benchmark}"
