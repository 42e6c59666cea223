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
        evaluation_environment
    threads: model_threads
    resources:
        gpu=evaluation_gpu,
        gpu_model=model_gpu_model,
        nodes=evaluation_nodes,
        tasks=evaluation_nodes,
        mpi=on_nodes(evaluation_nodes, "srun"),
        tasks_per_gpu=on_nodes(evaluation_nodes, 0),
        gres=gpus_of_node(evaluation_nodes),
        mem_mb=asked_by(answering_job, "mem_mb"),
        runtime=asked_by(answering_job, "runtime"),
        disk_mb=asked_by(answering_job, "disk_mb"),
        python=evaluation_python,
        engine=evaluation_flags,
    params:
        model=model_evaluated,
        weights=model_weights,
        sampling=as_json(CONFIG.evaluation),
        checkpoint=checkpoint_flag,
        version=f"sampling version {provenance.SAMPLING_VERSION}",
    message:
        "Answer {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "{resources.python} -m ssgr sample --problems {input.problems:q} --model {params.model:q}"
        " {resources.engine} {params.checkpoint} --sampling {params.sampling:q}"
        " --gpus {resources.gpu} --out {output:q} > {log:q} 2>&1"


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
        judging=benchmark_judging,
        code=provenance.code_digest("ssgr.grading", "ssgr.grading.quality"),
    message:
        "Grade {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "python -m ssgr grade --responses {input.responses:q} --problems {input.problems:q}"
        " --judging {params.judging:q} --judging.workers {threads} --out {output:q} > {log:q} 2>&1"


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
        code=provenance.code_digest("ssgr.evaluation.scores"),
    message:
        "Score {wildcards.benchmark}: {wildcards.model}, {wildcards.pruner} {wildcards.sparsity}, {wildcards.source} {wildcards.length} {wildcards.tau}"
    shell:
        "python -m ssgr score --grades {input:q} --out {output:q} > {log:q} 2>&1"
