# Needs:  the scores of every checkpoint and of the dense models, the calibration sets' funnels,
#         the checkpoints' reports, the pool's grades
# Makes:  {results}/report/index.html, one page that works offline


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    return results_of([RUN])


def results_of(names):
    """The files of these selections, each once."""
    keys = grid.points(CONFIG, *names).drop("label").unique(maintain_order=True).to_dicts()
    scores = [
        made(paths.SCORES, "scores.parquet", **key, benchmark=benchmark)
        for name in names
        for key in grid.points(CONFIG, name).to_dicts()
        for benchmark in CONFIG.selection(name).benchmarks
    ]
    benchmarks = {each for name in names for each in CONFIG.selection(name).benchmarks}
    return {
        "scores": list(dict.fromkeys(scores)),
        "problems": [made(paths.BENCHMARK, benchmark=each) for each in sorted(benchmarks)],
        "checkpoints": [made(paths.CHECKPOINT, **key) for key in keys if key["pruner"] != "none"],
        "funnels": sets_of_run(keys, "funnel.parquet"),
        "sets": sets_of_run(keys, "calibration.parquet"),
        "visited": sets_of_run(keys, "visited.json"),
    }


def sets_of_run(keys, name):
    """A file of every calibration set of the run."""
    files = [made(paths.CALIBRATION, name, **key) for key in keys if key["source"] != "none"]
    return sorted(set(files))


rule report:
    input:
        unpack(report_inputs),
    output:
        REPORT,
    log:
        log_of("report"),
    benchmark:
        cost_of("report")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.report,
    message:
        "Draw the report"
    shell:
        "python -m ssgr report --spec {params.spec:q} --out {output:q} > {log:q} 2>&1"
