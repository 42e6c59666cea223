# Needs:  nothing but a CPU and about an hour
# Makes:  the embedded model anew, by `snakemake abacus --cores 1`; not part of the default run


rule abacus:
    output:
        directory(f"{RESULTS}/abacus"),
    log:
        f"{LOGS}/abacus.log",
    benchmark:
        f"{COSTS}/abacus.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
    params:
        code=provenance.code_digest("ssgr.abacus.train"),
    message:
        "Train abacus, the embedded reasoning model (about an hour on one core)"
    shell:
        "python -m ssgr.abacus --out {output:q} > {log:q} 2>&1"
