# Input functions, stage by stage: what a job of a rule reads, for its wildcards.
#
# They stand apart from the rules, as Snakemake's linter asks for.


# problems


def source_files(wildcards):
    """The local files that a source's problems are read from."""
    return problems.files(CONFIG.sources[wildcards.source].data)


def benchmark_files(wildcards):
    """The local files that a benchmark's problems are read from."""
    return problems.files(CONFIG.benchmarks[wildcards.benchmark].data)


def kept_apart(wildcards):
    """The problems of the benchmarks that a source must not hold."""
    names = CONFIG.sources[wildcards.source].apart_from
    return [made(paths.BENCHMARK, benchmark=name) for name in names]


# calibration


def wave_of_grades(wildcards):
    """The graded shards of this wave, of the model that generates."""
    return all_made(listing.graded(CONFIG, wildcards))


def tally_before(wildcards):
    """What was found up to the wave before; nothing before the first."""
    before = listing.tally_before(wildcards)
    return made(before) if before else []


def tallies(keys):
    """The tallies of a calibration point, wave by wave, until it stops.

    Snakemake runs a wave, then asks again: this is where a pool grows on demand.
    """
    found = []
    while True:
        wave = len(found)
        found.append(checkpoints.tally.get(**keys, wave=f"{wave:04d}").output.candidates)
        try:
            if waves.stops(CONFIG, wave, Path(found[-1]), Path(made(paths.SOURCE, **keys))):
                return found
        except SsgrError as error:
            raise WorkflowError(str(error)) from None


def candidates(wildcards, input):
    """The last tally as a flag; references and text have none."""
    return f"--candidates {shlex.quote(str(input.candidates))}" if input.candidates else ""


def last_tally(wildcards):
    """What the pool offers to this calibration point; nothing for references and text."""
    return [] if wildcards.length in REFERENCE_LENGTHS else tallies(dict(wildcards))[-1]


# pruning


def calibration_set(wildcards):
    """What this checkpoint is calibrated on; nothing for a pruner that needs nothing."""
    if wildcards.source == "none":
        return []
    names = ("calibration.parquet", "held_back.parquet", "funnel.parquet")
    return [made(paths.CALIBRATION, name) for name in names]


def pruner(wildcards):
    """How this recipe prunes one matrix; a pruner of the user's own is given by its file."""
    return CONFIG.recipe(wildcards.pruner).method


# evaluation


def checkpoint(wildcards):
    """The pruned folder; nothing for the dense model, which the registry knows."""
    return [] if wildcards.pruner == "none" else made(paths.CHECKPOINT, **wildcards)


# report


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    return results_of([RUN])


def results_of(names):
    """The files of these selections, each once."""
    return {kind: all_made(found) for kind, found in listing.results(CONFIG, *names).items()}


# experiments


def paper_inputs(wildcards):
    """Everything that the experiments compute, and what each of them shows."""
    names = list(CONFIG.experiments)
    if not names:
        raise WorkflowError("the configuration has no `experiments`: there is no table to make")
    return results_of(names) | {
        "experiments": [made(paths.EXPERIMENT, experiment=n) for n in names]
    }


def experiment_inputs(wildcards):
    """What one table or figure shows."""
    found = results_of([wildcards.experiment])
    shown = {name: found[name] for name in ("scores", "sets", "visited")}
    published = CONFIG.experiments[wildcards.experiment].published
    return shown | {"published": published_file(published) if published else []}


# verification


def visited_of_pool(wildcards):
    """What this run's calibrations visited of a model's responses to a source."""
    pool = (wildcards.model, wildcards.source)
    return {
        "visited": all_made(listing.visited_of_pool(CONFIG, *pool)),
        "problems": made(paths.SOURCE, source=wildcards.source),
    }


def audited_pools(wildcards):
    """The verdicts on every pool of the run, its problems, and what calibrations visited of it."""
    return {kind: all_made(found) for kind, found in listing.audited(CONFIG).items()}


def hand_check_pages(wildcards):
    """A page for every model and source whose responses calibrations are taken from."""
    return all_made(listing.each_pool(CONFIG, paths.HAND_CHECK))
