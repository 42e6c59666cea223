# Needs:  the scores of an experiment's points, and what they were calibrated on
# Makes:  {results}/experiments/NAME/, a table or figure as page, CSV, LaTeX, SVG and PDF, by
#         `snakemake NAME` (table1 … figure5, or one of your own)
#         {results}/paper/index.html, all of them on one page, by `snakemake paper`


rule paper:
    input:
        PAPER,


rule experiment:
    input:
        unpack(experiment_inputs),
    output:
        directory(made(paths.EXPERIMENT)),
    log:
        log_of("experiment"),
    benchmark:
        cost_of("experiment")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
    params:
        spec=SPECS.experiment,
    message:
        "Draw {wildcards.experiment}"
    shell:
        "python -m ssgr experiment --spec {params.spec:q} --out {output:q} > {log:q} 2>&1"


rule paper_page:
    input:
        unpack(paper_inputs),
    output:
        PAPER,
    log:
        log_of("paper_page"),
    benchmark:
        cost_of("paper_page")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(8000),
    params:
        spec=SPECS.paper_page,
    message:
        "Set all tables and figures on one page"
    shell:
        "python -m ssgr paper --spec {params.spec:q} --out {output:q} > {log:q} 2>&1"


for experiment_name in CONFIG.experiments:
    as_rule = workflow.modifier.avail_rulename(experiment_name)  # None: not imported
    if as_rule and (workflow.is_rule(as_rule) or experiment_name == "all"):
        raise WorkflowError(
            f"experiments.{experiment_name}: a rule has this name already, and an experiment is a "
            "target by its name: call it something else"
        )

    rule:
        name:
            experiment_name
        input:
            made(paths.EXPERIMENT, experiment=experiment_name),
