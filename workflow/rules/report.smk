# Needs:  the scores of every checkpoint and of the dense models, the calibration sets' funnels,
#         the checkpoints' reports, the pool's grades
# Makes:  {results}/report/index.html, one page that works offline


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    keys = points.points(CONFIG).to_dicts()
    return {
        "scores": [
            f"{SCORES}/scores.parquet".format(**key, benchmark=name)
            for key in keys
            for name in CONFIG.run_benchmarks
        ],
        "checkpoints": [
            CHECKPOINT.format(**key) for key in keys if key["pruner"] != "none"
        ],
        "funnels": sorted(
            {
                f"{CALIBRATION}/funnel.parquet".format(**key)
                for key in keys
                if key["source"] != "none"
            }
        ),
        "pool": sorted(
            {
                shard
                for key in keys
                if key["tau"] != "none"
                for shard in pool_shards("grades", key["model"], key["source"])
            }
        ),
    }


rule report:
    input:
        unpack(report_inputs),
    output:
        REPORT,
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{COSTS}/report.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
    params:
        config=as_json(CONFIG),
        code=provenance.code_digest("ssgr.report"),
    message:
        "Draw the report"
    shell:
        "python -m ssgr report --config {params.config:q} --out {output:q} > {log:q} 2>&1"
