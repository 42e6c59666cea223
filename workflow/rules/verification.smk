# Needs:  what the calibrations visited of the pool, graded
# Makes:  {results}/verification/model=…/source=…/verdicts.parquet, by every grading method
#         {results}/verification/index.html, by `snakemake verification`; not part of the default run


def calibrations_of_pools():
    """The keys of this run's calibration sets of responses that the source's method judged."""
    wanted = grid.judged_by_source(CONFIG, grid.points(CONFIG))
    return wanted.select(grid.CALIBRATION_KEYS).unique(maintain_order=True).to_dicts()


def visited_of_pool(wildcards):
    """What this run's calibrations visited of a model's responses to a source."""
    keys = [
        key
        for key in calibrations_of_pools()
        if (key["generator"], key["source"]) == (wildcards.model, wildcards.source)
    ]
    return {
        "visited": [made(paths.CALIBRATION, "visited.json", **key) for key in keys],
        "problems": made(paths.SOURCE, source=wildcards.source),
    }


def audited_pools(wildcards):
    """The verdicts on every pool of the run, its problems, and what calibrations visited of it."""
    keys = calibrations_of_pools()
    if not keys:
        raise WorkflowError(
            "no calibration of this run is taken from a model's responses, judged by the source's "
            "own method: there are no verdicts to verify. Name one with a tau and without a "
            "verifier in `calibrations`."
        )
    return {
        "verdicts": sorted({of_generator(paths.VERDICTS, key) for key in keys}),
        "problems": sorted({made(paths.SOURCE, **key) for key in keys}),
        "visited": [made(paths.CALIBRATION, "visited.json", **key) for key in keys],
    }


def of_generator(path, key):
    """A file about the responses that a calibration set is taken from."""
    return made(path, model=key["generator"], source=key["source"])


rule verdicts:
    input:
        unpack(visited_of_pool),
    output:
        made(paths.VERDICTS),
    log:
        log_of("verdicts"),
    benchmark:
        cost_of("verdicts")
    conda:
        "../../envs/ssgr.yaml"
    threads: 8
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.verdicts,
    message:
        "Judge {wildcards.model} on {wildcards.source} by every method"
    shell:
        "python -m ssgr verdicts --spec {params.spec:q} --problems {input.problems:q}"
        " --judging.workers {threads} --out {output:q} > {log:q} 2>&1"


rule verification:
    input:
        unpack(audited_pools),
    output:
        made(paths.VERIFICATION),
    log:
        log_of("verification"),
    benchmark:
        cost_of("verification")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.verification,
    message:
        "Compare the grading methods"
    shell:
        "python -m ssgr audit --spec {params.spec:q} --out {output:q} > {log:q} 2>&1"
