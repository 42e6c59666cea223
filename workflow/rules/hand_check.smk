# Needs:  the pool's graded responses that this run's calibrations visited
# Makes:  {results}/hand_check/model=…/source=…/index.html: a random sample of their verdicts, for a
#         person to confirm, by `snakemake hand_check`; not part of the default run


rule hand_check:
    input:
        hand_check_pages,


rule hand_check_page:
    input:
        unpack(visited_of_pool),
    output:
        made(paths.HAND_CHECK),
    log:
        log_of("hand_check_page"),
    benchmark:
        cost_of("hand_check_page")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.hand_check_page,
    message:
        "Draw verdicts of {wildcards.model} on {wildcards.source} for a hand check"
    shell:
        "python -m ssgr hand-check --spec {params.spec:q} --problems {input.problems:q}"
        " --out {output:q} > {log:q} 2>&1"
