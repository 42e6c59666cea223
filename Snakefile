# Think before you prune: from problems to a pruned reasoning model's scores.
#
#   problems -> responses -> grades -> calibration -> checkpoint
#            -> responses -> grades -> scores -> report
#
# Run:   snakemake --cores all                        the embedded model, in minutes
#        snakemake --cores all --resources gpu=8 --configfile mine.yaml
# Plan:  snakemake -n                                 the jobs, in words
#        snakemake plan --cores 1                     what they will take
#
# The table of contents is workflow/Snakefile, where the workflow catalog and other workflows
# (`module:`) look for it.
include: "workflow/Snakefile"


workflow.default_target = "all"  # what is included sets none
