# What is checked and said before any job starts.


def require(*checks):
    """Stop before any job with what all these checks refuse."""
    refused = []
    for check in checks:
        try:
            check()
        except SsgrError as error:
            refused.append(str(error))
    if refused:
        raise WorkflowError("\n".join(refused))


def lift_the_limit_of_jobs():
    """Do without Snakemake's default limit of 100 new jobs a second; one that is given stays.

    Every finished job starts a timer more that has all waiting jobs looked at each second, until
    Snakemake takes a whole processor (its issues 3744 and 3804).
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def refuse_a_second_run():
    """Refuse to work beside another Snakemake of this folder; a dry run looks only."""
    dry = workflow.output_settings is not None and workflow.output_settings.dryrun
    for said in [] if dry else check_alone(Path(), sys.argv[1:], frozenset(STAGE_OF)):
        logger.warning(said)


if workflow.is_main_process:
    require(refuse_a_second_run)
require(
    partial(check_experiments, CONFIG),
    partial(check_pools, CONFIG),
    partial(fit.require_fit, CONFIG, configs.at_hand),
)
if workflow.is_main_process:
    for said in [*sizes_not_known(CONFIG), *FOUND.warnings]:
        logger.warning(said)
