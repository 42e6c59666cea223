# What is checked and said before any job starts.


LOOKS = re.compile(  # options by which Snakemake shows something, and takes no lock
    r"--(dag|rulegraph|filegraph|d3dag|lint|list|list-.*|summary|detailed-summary|report|"
    r"report-.*|print-compilation|version|help)(=.*)?|-[DlS]"
)


def refuse_a_second_run():
    """Refuse to work beside another Snakemake of this folder; to look is free.

    Snakemake would say of the first one's jobs that they are incomplete, and advise to unlock the
    folder or to mark them as complete, which spoils the first.
    """
    dry = workflow.output_settings is not None and workflow.output_settings.dryrun
    if dry or any(map(LOOKS.fullmatch, sys.argv[1:])):
        return
    if other := alive.second(Path(), os.getpid()):
        raise WorkflowError(alive.refusal(other, Path()))
    last = last_run(Path(), frozenset(STAGE_OF))
    if last.alive is None:
        logger.warning(
            f"A run on {last.header['Host']}, begun {last.header.get('Date')}, has not ended by "
            f"its log ({last.log}). Whether it runs is not to be seen from this machine: see there "
            "(`ssgr status`). If it does, wait for it or end it: do not unlock the folder, do not "
            "clean metadata"
        )


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


def say_what_is_not_known():
    """Name the models whose size is not known, so that their jobs ask for fixed numbers."""
    used = {name for each in CONFIG.selections.values() for name in each.models}
    for name in sorted(used | {name for name, _ in grid.pools(CONFIG)}):
        entry = CONFIG.models[name]
        why = "" if entry.mem_mb else configs.at_hand(entry).why
        if why.endswith("hub's cache"):
            why += " (`snakemake plan` fetches it)"
        if why:
            logger.warning(
                f"models.{name}: {why}. Its jobs ask for {requests.UNKNOWN['mem_mb']:,} MB each, "
                "or what `mem_mb` says"
            )


def say_who_is_at_work():
    """Name the processes of other runs, or left by a killed one, that hold shards or devices."""
    for held in [*locks.holders(Path(POOL)), *gpu_lease.holders()]:
        logger.warning(f"{held.path} is held by {held}")
    if not may_write(Path(POOL)):
        logger.warning(
            f"the pool {POOL} may only be read: it belongs to {belongs_to(Path(POOL))}. What it "
            "holds is used; what it lacks is refused, unless pool.extend names a folder of yours"
        )


def lift_the_limit_of_jobs():
    """Do without Snakemake's default limit of 100 new jobs a second; one that is given stays.

    Every finished job starts a timer more that has all waiting jobs looked at each second, until
    Snakemake takes a whole processor (its issues 3744 and 3804).
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


if workflow.is_main_process:
    refuse_a_second_run()
require(
    partial(check_experiments, CONFIG),
    partial(check_pools, CONFIG),
    partial(fit.require_fit, CONFIG, configs.at_hand),
)
if workflow.is_main_process:
    say_what_is_not_known()
    for said in FOUND.warnings:
        logger.warning(said)
