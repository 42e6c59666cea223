# Think before you prune: from problems to a pruned reasoning model's scores.
#
#   problems -> responses -> grades -> calibration -> checkpoint
#            -> responses -> grades -> scores -> report
#
# Run:   snakemake --cores all                        the embedded model, in minutes
#        snakemake --cores all --resources gpu=8 --configfile mine.yaml
# Plan:  snakemake -n                                 the jobs, in words
#        snakemake plan --cores 1                     what they will take
from snakemake.utils import min_version

min_version("9.0")


configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/lookups.smk"
include: "workflow/rules/problems.smk"
include: "workflow/rules/pool.smk"
include: "workflow/rules/calibration.smk"
include: "workflow/rules/pruning.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/verification.smk"
include: "workflow/rules/hand_check.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/abacus.smk"
include: "workflow/rules/smollm2.smk"
include: "workflow/rules/experiments.smk"  # last: its targets may not have a rule's name


onstart:
    say_who_is_at_work()


rule all:
    default_target: True
    input:
        PAPER if CONFIG.target == "paper" else REPORT,
