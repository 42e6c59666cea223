# Needs:  the configuration, and what earlier shards and jobs took
# Makes:  no file: `snakemake plan --cores 1` prints jobs, tokens, GPU-hours, memory per stage


rule plan:
    log:
        log_of("plan"),
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(1000),
    params:
        spec=SPECS.plan,
    message:
        "What this configuration will take"
    shell:
        "python -m ssgr plan --spec {params.spec:q} 2> {log:q}"
