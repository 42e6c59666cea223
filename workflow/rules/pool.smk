# Needs:  a source's problems and a dense model
# Makes:  {results}/receipts/{responses,grades}/…/{shard}.json, which name parts of the pool:
#         {pool}/responses/model=…/source=…/sampling=…/{shard}.parquet, their grades beside them.
#
# The pool belongs to every experiment that names it. Snakemake deletes a job's outputs before it
# starts, so a rule's output is a small receipt of this experiment; the parts themselves are made
# once, under an OS lock, and never touched again.


# Ancient: problems that were written again are not sampled again. Responses to other questions are
# refused, by this job if the source's entry has changed, and by grading in any case.
rule sample:
    input:
        problems=ancient(made(paths.SOURCE)),
    output:
        made(paths.RESPONSES),
    log:
        log_of("sample"),
    benchmark:
        cost_of("sample")
    priority: 10  # a wave ends when its last shard does: before anything else
    conda:
        sampling_environment
    threads: model_threads
    resources:
        gpu=shard_gpu,
        gpu_model=shard_gpu_model,
        nodes=shard_nodes,
        tasks=shard_nodes,
        mpi=on_nodes(shard_nodes, "srun"),
        tasks_per_gpu=on_nodes(shard_nodes, 0),
        gres=gpus_of_node(shard_nodes),
        mem_mb=asked_by(sampling_job, "mem_mb"),
        runtime=asked_by(sampling_job, "runtime"),
        disk_mb=asked_by(sampling_job, "disk_mb"),
        python=model_python,
        engine=engine_flags,
        state=shard_state,
        draw=draw_flag,
    params:
        pool=POOL,
        data=source_data,
        shard=pool_shard,
        model=model_asked,
        weights=model_weights,
        sampling=as_json(CONFIG.sampling.drawn),
        rows=shard_rows,
        needs=source_needs,
        judging=source_judging,
        version=f"sampling version {provenance.SAMPLING_VERSION}",
    message:
        "{resources.state} {wildcards.model} on {wildcards.source}, problems {wildcards.shard}"
    shell:
        "{resources.python} -m ssgr sample-shard --problems {input.problems:q}"
        " --model {params.model:q} {resources.engine} --sampling {params.sampling:q} {params.rows}"
        " --needs {params.needs:q} --judging {params.judging:q} --gpus {resources.gpu}"
        " {resources.draw}"
        " --pool {params.pool:q} --shard {params.shard:q} --out {output:q} > {log:q} 2>&1"


rule grade:
    input:
        responses=made(paths.RESPONSES),
        problems=made(paths.SOURCE),
    output:
        made(paths.GRADES),
    log:
        log_of("grade"),
    benchmark:
        cost_of("grade")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(2000),
        base=base_flag,
    params:
        pool=POOL,
        rows=shard_rows,
        judging=verifier_judging,
        grades=grades_folder,
    message:
        "Grade {wildcards.model} on {wildcards.source} by {wildcards.verifier}, problems {wildcards.shard}"
    shell:
        "python -m ssgr grade-shard --pool {params.pool:q} --responses {input.responses:q}"
        " --problems {input.problems:q} {params.rows} --judging {params.judging:q} --judging.workers {threads}"
        " --grades {params.grades:q} {resources.base} --out {output:q} > {log:q} 2>&1"
