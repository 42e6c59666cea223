# Needs:  a source's problems and a dense model
# Makes:  {pool}/responses/model=…/source=…/sampling=…/{shard}.parquet and the same under grades;
#         the pool is shared between experiments: what is there is never sampled again


# Ancient: a pool that was copied, or whose problems were written again, is not sampled again.
# Responses to other questions are refused by the grader.
rule sample:
    input:
        problems=ancient(SOURCE),
    output:
        f"{POOL}/responses/{SHARD}",
    log:
        f"{LOGS}/sample/{SHARD}.log",
    benchmark:
        f"{COSTS}/sample/{SHARD}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: model_threads
    resources:
        gpu=model_gpu,
        mem_mb=model_mem_mb,
        batch_size=model_batch_size,
    params:
        model=model_asked,
        weights=model_weights,
        sampling=as_json(CONFIG.sampling),
        rows=shard_rows,
        version=f"sampling version {provenance.SAMPLING_VERSION}",
    message:
        "Sample {wildcards.model} on {wildcards.source}, problems {wildcards.shard}"
    shell:
        "python -m ssgr sample --problems {input.problems:q} --model {params.model:q}"
        " --model.batch-size {resources.batch_size} --sampling {params.sampling:q}"
        " {params.rows} --out {output:q} > {log:q} 2>&1"


rule grade:
    input:
        responses=f"{POOL}/responses/{SHARD}",
        problems=SOURCE,
    output:
        f"{POOL}/grades/{SHARD}",
    log:
        f"{LOGS}/grade/{SHARD}.log",
    benchmark:
        f"{COSTS}/grade/{SHARD}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        method=source_method,
        code=provenance.code_digest("ssgr.grading", "ssgr.quality"),
    message:
        "Grade {wildcards.model} on {wildcards.source}, problems {wildcards.shard}"
    shell:
        "python -m ssgr grade --responses {input.responses:q} --problems {input.problems:q}"
        " {params.method} --workers {threads} --out {output:q} > {log:q} 2>&1"
