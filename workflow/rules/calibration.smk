# Needs:  the pool's graded responses, or a source's reference solutions or documents
# Makes:  {results}/tally/…/wave=…/candidates.parquet: what a calibration point found so far
#         {results}/calibration/model=…/source=…/…/budget=…/calibration.parquet
#         and beside it held_back.parquet, more of the same that calibrates nothing; funnel.parquet;
#         and visited.json, the pool's shards that were looked at
#
# A point asks the pool for wave after wave of shards, until its budget is retained and no further.


checkpoint tally:
    input:
        graded=wave_of_grades,
        before=tally_before,
    output:
        candidates=made(paths.TALLY, "candidates.parquet"),
        funnel=made(paths.TALLY, "funnel.parquet"),
        visited=made(paths.TALLY, "visited.json"),
    log:
        log_of("tally"),
    benchmark:
        cost_of("tally")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(2000),
    params:
        spec=SPECS.tally,
    message:
        "Count what {wildcards.source} offers to {wildcards.length}, tau {wildcards.tau}, up to wave {wildcards.wave}"
    shell:
        "python -m ssgr tally --spec {params.spec:q} --out {output.candidates:q} > {log:q} 2>&1"


rule select:
    input:
        problems=made(paths.SOURCE),
        candidates=last_tally,
    output:
        calibration=made(paths.CALIBRATION, "calibration.parquet"),
        held_back=made(paths.CALIBRATION, "held_back.parquet"),
        funnel=made(paths.CALIBRATION, "funnel.parquet"),
        visited=made(paths.CALIBRATION, "visited.json"),
    log:
        log_of("select"),
    benchmark:
        cost_of("select")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
        candidates=candidates,
    params:
        spec=SPECS.select,
    message:
        "Select from {wildcards.source} by {wildcards.length}, tau {wildcards.tau}, {wildcards.budget}"
    shell:
        "python -m ssgr select --spec {params.spec:q} --problems {input.problems:q} {resources.candidates}"
        " --out {output.calibration:q} --funnel {output.funnel:q} > {log:q} 2>&1"
