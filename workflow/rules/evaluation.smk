# Needs:  a benchmark's problems and a checkpoint, pruned or dense
# Makes:  {results}/scores/…/benchmark=…/{responses,grades,scores}.parquet


rule sample_benchmark:
    input:
        problems=made(paths.BENCHMARK),
        checkpoint=checkpoint,
    output:
        made(paths.SCORES, "responses.parquet"),
    log:
        log_of("sample_benchmark"),
    benchmark:
        cost_of("sample_benchmark")
    conda:
        ANSWERING.environment
    threads: ANSWERING.threads
    resources:
        gpu=ANSWERING.gpu,
        gpu_model=ANSWERING.gpu_model,
        nodes=ANSWERING.nodes,
        tasks=ANSWERING.nodes,
        mpi=ANSWERING.mpi,
        tasks_per_gpu=ANSWERING.tasks_per_gpu,
        gres=ANSWERING.gres,
        mem_mb=ANSWERING.mem_mb,
        runtime=ANSWERING.runtime,
        disk_mb=ANSWERING.disk_mb,
        python=ANSWERING.python,
        engine=ANSWERING.engine,
    params:
        spec=SPECS.sample_benchmark,
    message:
        "Answer {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "{resources.python} -m ssgr sample --spec {params.spec:q} {resources.engine}"
        " --problems {input.problems:q} --gpus {resources.gpu} --out {output:q} > {log:q} 2>&1"


rule grade_benchmark:
    input:
        responses=made(paths.SCORES, "responses.parquet"),
        problems=made(paths.BENCHMARK),
    output:
        made(paths.SCORES, "grades.parquet"),
    log:
        log_of("grade_benchmark"),
    benchmark:
        cost_of("grade_benchmark")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(2000),
    params:
        spec=SPECS.grade_benchmark,
    message:
        "Grade {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "python -m ssgr grade --spec {params.spec:q} --responses {input.responses:q}"
        " --problems {input.problems:q} --judging.workers {threads} --out {output:q} > {log:q} 2>&1"


rule score:
    input:
        made(paths.SCORES, "grades.parquet"),
    output:
        made(paths.SCORES, "scores.parquet"),
    log:
        log_of("score"),
    benchmark:
        cost_of("score")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(2000),
    params:
        spec=SPECS.score,
    message:
        "Score {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "python -m ssgr score --spec {params.spec:q} --grades {input:q} --out {output:q}"
        " > {log:q} 2>&1"
