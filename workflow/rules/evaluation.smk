# Needs:  a benchmark's problems and a checkpoint, pruned or dense
# Makes:  {results}/scores/…/benchmark=…/{responses,grades,scores}.parquet
#
# Sampling and grading are the pool's rules, with other inputs and outputs.


use rule sample as sample_benchmark with:
    input:
        problems=BENCHMARK,
        checkpoint=checkpoint,
    output:
        f"{SCORES}/responses.parquet",
    log:
        f"{LOGS}/sample_benchmark/{SCORED}.log",
    benchmark:
        f"{COSTS}/sample_benchmark/{SCORED}.tsv"
    params:
        model=model_asked,
        weights=model_weights,
        sampling=as_json(CONFIG.evaluation),
        rows=checkpoint_flag,
        version=f"sampling version {provenance.SAMPLING_VERSION}",
    message:
        "Answer {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"


use rule grade as grade_benchmark with:
    input:
        responses=f"{SCORES}/responses.parquet",
        problems=BENCHMARK,
    output:
        f"{SCORES}/grades.parquet",
    log:
        f"{LOGS}/grade_benchmark/{SCORED}.log",
    benchmark:
        f"{COSTS}/grade_benchmark/{SCORED}.tsv"
    params:
        method=benchmark_method,
        code=provenance.code_digest("ssgr.grading", "ssgr.quality"),
    message:
        "Grade {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"


rule score:
    input:
        f"{SCORES}/grades.parquet",
    output:
        f"{SCORES}/scores.parquet",
    log:
        f"{LOGS}/score/{SCORED}.log",
    benchmark:
        f"{COSTS}/score/{SCORED}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        code=provenance.code_digest("ssgr.scores"),
    message:
        "Score {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "python -m ssgr score --grades {input:q} --out {output:q} > {log:q} 2>&1"
