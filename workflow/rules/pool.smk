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
        SAMPLING.environment
    threads: SAMPLING.threads
    resources:
        gpu=SAMPLING.gpu,
        gpu_model=SAMPLING.gpu_model,
        nodes=SAMPLING.nodes,
        tasks=SAMPLING.nodes,
        mpi=SAMPLING.mpi,
        tasks_per_gpu=SAMPLING.tasks_per_gpu,
        gres=SAMPLING.gres,
        mem_mb=SAMPLING.mem_mb,
        runtime=SAMPLING.runtime,
        disk_mb=SAMPLING.disk_mb,
        python=SAMPLING.python,
        engine=SAMPLING.engine,
        state=SAMPLING.state,
        draw=SAMPLING.draw,
    params:
        spec=SPECS.sample,
    message:
        "{resources.state} {wildcards.model} on {wildcards.source}, problems {wildcards.shard}"
    shell:
        "{resources.python} -m ssgr sample-shard --spec {params.spec:q} {resources.engine}"
        " --problems {input.problems:q} --gpus {resources.gpu} {resources.draw} --out {output:q}"
        " > {log:q} 2>&1"


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
        base=SAMPLING.base,
    params:
        spec=SPECS.grade,
    message:
        "Grade {wildcards.model} on {wildcards.source} by {wildcards.verifier}, problems {wildcards.shard}"
    shell:
        "python -m ssgr grade-shard --spec {params.spec:q} --responses {input.responses:q}"
        " --problems {input.problems:q} --judging.workers {threads} {resources.base} --out {output:q}"
        " > {log:q} 2>&1"
