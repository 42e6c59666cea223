# Needs:  the pool's graded responses, or a source's reference solutions or documents
# Makes:  {results}/calibration/model=…/source=…/tau=…/length=…/budget=…/calibration.parquet
#         and funnel.parquet beside it


rule select:
    input:
        problems=SOURCE,
        responses=pool_responses,
        grades=pool_grades,
    output:
        calibration=f"{CALIBRATION}/calibration.parquet",
        funnel=f"{CALIBRATION}/funnel.parquet",
    log:
        f"{LOGS}/select/{POINT}.log",
    benchmark:
        f"{COSTS}/select/{POINT}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
    params:
        model=model_source,
        weights=model_weights,
        tau=tau_flag,
        budget=as_json(CONFIG.budget),
        filters=as_json(CONFIG.filters),
        template=solution_template,
        shards=shard_flags,
        code=provenance.code_digest(
            "ssgr.selection", "ssgr.calibration", "ssgr.sampling.prompts"
        ),
    message:
        "Select from {wildcards.source} by {wildcards.length}, tau {wildcards.tau}, {wildcards.budget}"
    shell:
        "python -m ssgr select --length {wildcards.length} {params.tau}"
        " --budget {params.budget:q} --filters {params.filters:q} {params.template}"
        " --model {params.model:q} --problems {input.problems:q}"
        " {params.shards}"
        " --out {output.calibration:q} --funnel {output.funnel:q} > {log:q} 2>&1"
