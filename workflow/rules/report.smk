# Needs:  the scores of every checkpoint and of the dense models, the calibration sets' funnels,
#         the checkpoints' reports, the pool's grades
# Makes:  {results}/report/index.html, one page that works offline


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    return results_of([RUN])


def results_of(names):
    """The files of these selections, each once."""
    return {kind: [made(path) for path in found] for kind, found in results(CONFIG, *names).items()}


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
