# Needs:  nothing but a CPU and about an hour
# Makes:  the embedded models anew, by `snakemake abacus --cores 1` and
#         `snakemake abacus_qwen3 --cores 1`; not part of the default run
#
# The recipe stands in resources/abacus/recipe of the checkout, and not in the package.

ABACUS = ROOT / "resources" / "abacus"
ABACUS_CODE = provenance.code_digest(*map(str, sorted(ABACUS.glob("recipe/*.py"))))


rule abacus:
    output:
        directory(f"{RESULTS}/abacus"),
    log:
        log_of("abacus"),
    benchmark:
        cost_of("abacus")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
        recipe=str(ABACUS),
    params:
        model="abacus",
        code=ABACUS_CODE,
    message:
        "Train {params.model}, an embedded reasoning model (an hour or more on one core)"
    shell:
        "PYTHONPATH={resources.recipe:q}:$PYTHONPATH python -m recipe --model {params.model} --out {output:q}"
        " > {log:q} 2>&1"


use rule abacus as abacus_qwen3 with:
    output:
        directory(f"{RESULTS}/abacus-qwen3"),
    log:
        log_of("abacus_qwen3"),
    benchmark:
        cost_of("abacus_qwen3")
    params:
        model="abacus-qwen3",
        code=ABACUS_CODE,
