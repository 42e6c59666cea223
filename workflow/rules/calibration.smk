# Needs:  the pool's graded responses, or a source's reference solutions or documents
# Makes:  {results}/tally/…/wave=…/candidates.parquet: what a calibration point found so far
#         {results}/calibration/model=…/source=…/…/budget=…/calibration.parquet
#         and beside it held_back.parquet, more of the same that calibrates nothing; funnel.parquet;
#         and visited.json, the pool's shards that were looked at
#
# A point asks the pool for wave after wave of shards, until its budget is retained and no further.


def wave_of_grades(wildcards):
    """The graded shards of this wave, of the model that generates."""
    return expand(
        made(paths.GRADES),
        model=wildcards.generator,
        source=wildcards.source,
        sampling=CONFIG.sampling.key,
        verifier=wildcards.verifier,
        shard=waves.shards(CONFIG.pool, int(wildcards.wave)),
    )


def tally_before(wildcards):
    """What was found up to the wave before; nothing before the first."""
    before = int(wildcards.wave) - 1
    if before < 0:
        return []
    keys = {**wildcards, "wave": f"{before:04d}"}
    return made(paths.TALLY, "candidates.parquet", **keys)


def tallies(keys):
    """The tallies of a calibration point, wave by wave, until it stops.

    Snakemake runs a wave, then asks again: this is where a pool grows on demand.
    """
    found = []
    while True:
        wave = len(found)
        found.append(checkpoints.tally.get(**keys, wave=f"{wave:04d}").output.candidates)
        try:
            if waves.stops(CONFIG, wave, Path(found[-1]), Path(made(paths.SOURCE, **keys))):
                return found
        except SsgrError as error:
            raise WorkflowError(str(error)) from None


def last_tally(wildcards):
    """What the pool offers to this calibration point; nothing for references and text."""
    return [] if wildcards.length in REFERENCE_LENGTHS else tallies(dict(wildcards))[-1]


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
    params:
        spec=SPECS.select,
    message:
        "Select from {wildcards.source} by {wildcards.length}, tau {wildcards.tau}, {wildcards.budget}"
    shell:
        "python -m ssgr select --spec {params.spec:q} --problems {input.problems:q}"
        " --out {output.calibration:q} --funnel {output.funnel:q} > {log:q} 2>&1"
