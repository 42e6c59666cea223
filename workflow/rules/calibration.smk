# Needs:  the pool's graded responses, or a source's reference solutions or documents
# Makes:  {results}/calibration/model=…/source=…/tau=…/length=…/budget=…/calibration.parquet
#         and funnel.parquet beside it


def pool_responses(wildcards):
    """The pool's responses that this selection chooses from; none for references and text."""
    if wildcards.length in REFERENCE_LENGTHS:
        return []
    return pool_shards("responses", wildcards.model, wildcards.source)


def pool_grades(wildcards):
    """Their grades, in the same order."""
    if wildcards.length in REFERENCE_LENGTHS:
        return []
    return pool_shards("grades", wildcards.model, wildcards.source)


def shard_flags(wildcards, input):
    """The pool's shards, one flag each."""
    files = [("--responses", file) for file in input.responses]
    files += [("--grades", file) for file in input.grades]
    return shlex.join(word for flag_and_file in files for word in flag_and_file)


def solution_template(wildcards):
    """How a reference solution of this source reads, as a flag; only where one is wanted."""
    template = CONFIG.sources[wildcards.source].solution_template
    wanted = wildcards.length == "solution"
    return shlex.join(["--solution-template", template]) if wanted else ""


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
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
    params:
        model=model_identity,
        budget=as_json(CONFIG.budget),
        filters=as_json(CONFIG.filters),
        template=solution_template,
        shards=shard_flags,
        code=provenance.code_digest("ssgr.selection", "ssgr.calibration"),
    message:
        "Select from {wildcards.source} by {wildcards.length}, tau {wildcards.tau}, {wildcards.budget}"
    shell:
        "python -m ssgr select --length {wildcards.length} --tau {wildcards.tau}"
        " --budget {params.budget:q} --filters {params.filters:q} {params.template}"
        " --model {params.model:q} --problems {input.problems:q}"
        " {params.shards}"
        " --out {output.calibration:q} --funnel {output.funnel:q} > {log:q} 2>&1"
