# Needs:  what the calibrations visited of the pool, graded
# Makes:  {results}/verification/model=…/source=…/verdicts.parquet, by every grading method
#         {results}/verification/index.html, by `snakemake verification`; not part of the default run


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
