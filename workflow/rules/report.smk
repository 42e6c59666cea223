# Needs:  the scores of every checkpoint and of the dense models, the calibration sets' funnels,
#         the checkpoints' reports, the pool's grades
# Makes:  {results}/report/index.html, one page that works offline


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
