# Named functions that say what a rule's inputs, params and resources are for its wildcards.
# Rules hold no lambdas; what identifies a job is a param, what only executes it a resource.


def as_json(part):
    """A part of the configuration as a param: a function, since braces would be wildcards."""

    def json_of_part(wildcards):
        return part.model_dump_json()

    return json_of_part


def model_asked(wildcards):
    """Where a model comes from and how it is asked, as JSON: what its responses depend on."""
    return grid.model_asked(CONFIG.models[wildcards.model])


def model_evaluated(wildcards):
    """The same with the engine that answers benchmarks."""
    model = CONFIG.models[wildcards.model].for_evaluation()
    return grid.model_asked(CONFIG.benchmarks[wildcards.benchmark].asked_of(model))


def model_pruned(wildcards):
    """Where a model comes from, and the tag that closes its thinking."""
    return grid.model_pruned(CONFIG.models[wildcards.model])


def model_weights(wildcards):
    """A fingerprint of the model's files: a retrained model reruns what it made."""
    return grid.weights(CONFIG.models[wildcards.model])


def judging_of_source(model, source, method=None):
    """How a model's responses to a source are judged: by the source's method, or another."""
    return grid.judging(CONFIG, model, CONFIG.sources[source], method)


def source_judging(wildcards):
    """How responses to this source are judged, as JSON."""
    return judging_of_source(wildcards.model, wildcards.source).model_dump_json()


def judging_by(wildcards):
    """How responses to this source are judged by this verifier."""
    return judging_of_source(wildcards.model, wildcards.source, wildcards.verifier)


def verifier_judging(wildcards):
    """The same as JSON."""
    return judging_by(wildcards).model_dump_json()


def budget_of_point(wildcards):
    """What is asked of a calibration set, as JSON."""
    return CONFIG.budget.of_key(wildcards.budget).model_dump_json()


def pool_shard(wildcards):
    """The shard's file in the pool, which the job makes unless it is there."""
    return f"{POOL}/{paths.POOL_RESPONSES}".format(**wildcards)


def grades_folder(wildcards):
    """The pool's folder of grades by this grader: how it judges, and its code."""
    folder = os.path.dirname(f"{POOL}/grades/{paths.SHARD}".format(**wildcards))
    return f"{folder}/grader={judging_by(wildcards).digest}"


def benchmark_judging(wildcards):
    """How answers to this benchmark are judged, as JSON."""
    benchmark = CONFIG.benchmarks[wildcards.benchmark]
    return grid.judging(CONFIG, wildcards.model, benchmark).model_dump_json()


def source_needs(wildcards):
    """What this run may look at of a source's pool, as JSON; sampling stops early beyond it."""
    return grid.needs_of(CONFIG, wildcards.source).model_dump_json()


def problems_of_shard(wildcards):
    """What this shard asks, if its source's problems are at hand already."""
    file = Path(made(paths.SOURCE, source=wildcards.source))
    if not file.is_file():
        return None
    first, last = map(int, wildcards.shard.split("-"))
    return Asked.of(rows_of(file, file.stat().st_mtime_ns).slice(first, last - first))


@cache
def rows_of(file, mtime):
    """A source's problems, read once for all its shards."""
    return read(file, Problems)


def in_base(path):
    """Where a file of the pool lies in the pool that this one extends; None if it extends none."""
    base = CONFIG.pool.base
    return base and Path(base) / Path(path).relative_to(POOL)


def base_flag(wildcards):
    """The pool that this one extends, which jobs only read, as a flag."""
    return shlex.join(["--base", CONFIG.pool.base]) if CONFIG.pool.base else ""


def is_in_the_pool(wildcards):
    """Whether the pool holds all that is needed of this shard already.

    Several params and resources ask: it is looked up again when files have come or gone.
    """
    shard = pool_shard(wildcards)
    places = filter(None, [shard, in_base(shard), made(paths.SOURCE, **wildcards)])
    folders = tuple(changed(os.path.dirname(place)) for place in places)
    return holds_shard(tuple(wildcards.items()), folders)


def changed(folder):
    """When a file last came into a folder or went, in ns; None without the folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return None


@lru_cache(maxsize=10000)
def holds_shard(keys, folders):
    """The same for a shard by its wildcards, while these folders are unchanged."""
    wildcards = SimpleNamespace(**dict(keys))
    file = pool_shard(dict(keys))
    shard = Shard(
        Path(file),
        store.manifest(CONFIG.models[wildcards.model], CONFIG.sampling.drawn),
        grid.needs_of(CONFIG, wildcards.source),
        judging_of_source(wildcards.model, wildcards.source).identity,
        problems_of_shard(wildcards),
        in_base(file),
    )
    try:
        return shard.complete()
    except SsgrError as error:
        raise WorkflowError(str(error)) from None


def shard_gpu(wildcards):
    """GPUs to sample this shard; none if the pool holds it already or a server has them."""
    entry = CONFIG.models[wildcards.model]
    if entry.engine == "server" or is_in_the_pool(wildcards):
        return 0
    return gpu_of_engine(wildcards, entry)


def shard_gpu_model(wildcards):
    """The kind of GPU to sample this shard; None is any, or none at all."""
    return model_gpu_model(wildcards) if shard_gpu(wildcards) else None


def draw_flag(wildcards):
    """A job that was given no GPU because the pool holds its shard must not draw, as flags."""
    draw = "--no-draw" if is_in_the_pool(wildcards) else "--draw"
    return f"{draw} {base_flag(wildcards)}".rstrip()


def shard_state(wildcards):
    """What there is to do for this shard, in words."""
    return "Take from the pool:" if is_in_the_pool(wildcards) else "Sample"


def wave_of_grades(wildcards):
    """The graded shards of this wave, of the model that generates."""
    return expand(
        made(paths.GRADES),
        model=wildcards.generator,
        source=wildcards.source,
        sampling=CONFIG.sampling.key,
        verifier=wildcards.verifier,
        shard=waves.shards(CONFIG.pool, int(wildcards.wave)),
    )


def tally_before(wildcards):
    """What was found up to the wave before; nothing before the first."""
    before = int(wildcards.wave) - 1
    if before < 0:
        return []
    keys = {**wildcards, "wave": f"{before:04d}"}
    return made(paths.TALLY, "candidates.parquet", **keys)


def tally_flags(wildcards, input):
    """The wave's graded shards and the tally before, as flags."""
    files = [("--graded", file) for file in input.graded]
    files += [("--before", input.before)] if input.before else []
    return shlex.join(word for flag_and_file in files for word in flag_and_file)


def early_stop_flag(wildcards):
    """Whether a selection looks only at responses that can matter, as a flag."""
    return "--early-stop" if CONFIG.sampling.early_stop else "--no-early-stop"


def tallies(keys):
    """The tallies of a calibration point, wave by wave, until it has its budget or all is visited.

    Snakemake runs a wave, then asks again: this is where a pool grows on demand.
    """
    found = []
    while True:
        wave = len(found)
        tally = checkpoints.tally.get(**keys, wave=f"{wave:04d}").output.candidates
        found.append(tally)
        if is_enough(
            Path(tally), Path(made(paths.SOURCE, source=keys["source"])), wave
        ):
            return found


def is_enough(tally, source, wave):
    """Whether a calibration stops after a wave."""
    try:
        # problems that are not there are made again before the next wave
        problems = count_rows(source) if source.is_file() else None
        return waves.is_enough(CONFIG, wave, count_rows(tally), problems)
    except SsgrError as error:
        raise WorkflowError(str(error)) from None


def is_of_another(wildcards):
    """Whether another model than the pruned one generated the responses."""
    return wildcards.generator not in ("none", wildcards.model)


def is_as_drawn(wildcards):
    """Whether a calibration set holds what was sampled, token by token."""
    return not is_of_another(wildcards) and wildcards.thinking != "dropped"


def model_calibrated(wildcards):
    """Where the pruned model comes from; and how it is asked, if a sequence is rendered anew."""
    entry = CONFIG.models[wildcards.model]
    as_drawn = is_as_drawn(wildcards)
    return grid.source_of_model(entry) if as_drawn else grid.model_rendered(entry)


@cache
def code_of(*modules):
    """Digest of modules that depend on a job's wildcards: taken once, not once a job."""
    return provenance.code_digest(*modules)


def code_of_length_rule(wildcards):
    """The module of the point's length rule; references and text have none."""
    return [module_of(wildcards.length)] if wildcards.length in LENGTH_RULES else []


def tally_code(wildcards):
    """Digest of the code that counts candidates, this length rule's included."""
    return code_of(
        "ssgr.selection.rules",
        "ssgr.selection.early_stop",
        *code_of_length_rule(wildcards),
    )


def selection_code(wildcards):
    """Digest of the code that selects; of the conversion too, where there is one."""
    modules = [
        "ssgr.selection.rules",
        "ssgr.selection.calibration",
        "ssgr.sampling.prompts",
    ]
    modules += [] if is_as_drawn(wildcards) else ["ssgr.sampling.rendering"]
    modules += code_of_length_rule(wildcards)
    return code_of(*modules)


def generator_flag(wildcards):
    """The model that generated the responses, if it is another than the pruned one, as a flag."""
    if not is_of_another(wildcards):
        return ""
    entry = CONFIG.models[wildcards.generator]
    return shlex.join(["--generator", grid.model_rendered(entry)])


def thinking_flag(wildcards):
    """Whether a response keeps its thinking, as a flag."""
    return "--no-thinking" if wildcards.thinking == "dropped" else ""


def last_tally(wildcards):
    """What the pool offers to this calibration point; nothing for references and text."""
    return [] if wildcards.length in REFERENCE_LENGTHS else tallies(dict(wildcards))[-1]


def candidates_flag(wildcards, input):
    """The candidates as a flag; references and text have none."""
    return shlex.join(["--candidates", input.candidates]) if input.candidates else ""


def visited_flags(wildcards, input):
    """What the calibrations visited of the pool, as flags."""
    return shlex.join(word for file in input.visited for word in ("--visited", file))


def source_data(wildcards):
    """What a source's problems are: where they come from, and what is kept out, as JSON."""
    entry = CONFIG.sources[wildcards.source]
    return entry.model_dump_json(include={"data", "apart_from", "overlap"})


def source_set(wildcards):
    """Where a source's problems come from, as JSON."""
    return CONFIG.sources[wildcards.source].data.model_dump_json()


def benchmark_data(wildcards):
    """Where a benchmark's problems come from, as JSON."""
    return CONFIG.benchmarks[wildcards.benchmark].data.model_dump_json()


def data_files(data):
    """The local files of a source or benchmark; a path that matches none stops before any job."""
    try:
        return problems.files(data)
    except SsgrError as error:
        raise WorkflowError(str(error)) from None


def data_contents(data):
    """A digest of a set's local files: other data with an older date is other data too."""
    try:
        return problems.contents(data)
    except SsgrError as error:
        raise WorkflowError(str(error)) from None


def source_contents(wildcards):
    """A digest of the local files that a source's problems are read from."""
    return data_contents(CONFIG.sources[wildcards.source].data)


def benchmark_contents(wildcards):
    """A digest of the local files that a benchmark's problems are read from."""
    return data_contents(CONFIG.benchmarks[wildcards.benchmark].data)


def source_files(wildcards):
    """The local files that a source's problems are read from."""
    return data_files(CONFIG.sources[wildcards.source].data)


def benchmark_files(wildcards):
    """The local files that a benchmark's problems are read from."""
    return data_files(CONFIG.benchmarks[wildcards.benchmark].data)


def kept_apart(wildcards):
    """The problems of the benchmarks that a source must not hold."""
    names = CONFIG.sources[wildcards.source].apart_from
    return [made(paths.BENCHMARK, benchmark=name) for name in names]


def apart_flags(wildcards, input, output):
    """What a source's problems are kept apart from, and where dropped ones are listed, as flags."""
    entry = CONFIG.sources[wildcards.source]
    tables = json.dumps(dict(zip(entry.apart_from, input.apart_from)))
    flags = ["--dropped", output.dropped, "--overlap", str(entry.overlap)]
    return shlex.join([*flags, "--apart-from", tables])


def check_pool():
    """Refuse a pool that was made by another model, prompt or engine under the same name."""
    for name, source in grid.pools(CONFIG):
        keys = {"model": name, "source": source, "sampling": CONFIG.sampling.key}
        folder = Path(pool_shard({**keys, "shard": "any"})).parent
        wanted = store.manifest(CONFIG.models[name], CONFIG.sampling.drawn)
        for each in filter(None, [folder, in_base(folder)]):
            store.check_manifest(each, wanted)
            store.check_shard_size(each, CONFIG.pool.shard_size)


def check_fit():
    """Refuse jobs that cannot fit their GPUs."""
    fit.require_fit(CONFIG, configs.at_hand)


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


require(check_pool, check_fit)


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


if workflow.is_main_process:
    say_what_is_not_known()
    for said in FOUND.warnings:
        logger.warning(said)


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


def shard_rows(wildcards):
    """The rows of the source's problems that this shard holds, as flags."""
    first, last = wildcards.shard.split("-")
    return f"--first {int(first)} --last {int(last)}"


def solution_template(wildcards):
    """How a reference solution of this source reads, as a flag; only where one is wanted."""
    template = CONFIG.sources[wildcards.source].solution_template
    wanted = wildcards.length == "solution"
    return shlex.join(["--solution-template", template]) if wanted else ""


def calibration_set(wildcards):
    """What this checkpoint is calibrated on; nothing for a pruner that needs nothing."""
    if wildcards.source == "none":
        return []
    names = ("calibration.parquet", "held_back.parquet", "funnel.parquet")
    return [made(paths.CALIBRATION, name) for name in names]


def calibration_flag(wildcards, input):
    """The calibration set as a flag; empty for a pruner that needs none."""
    return (
        shlex.join(["--calibration", input[0], "--held-back", input[1]])
        if input
        else ""
    )


def method(wildcards):
    """How this recipe prunes one matrix: the pruner's name, wherever its file is."""
    return name_of(CONFIG.recipe(wildcards.pruner).method)


def method_given(wildcards):
    """The same for the command: a pruner of the user's own is given by its file."""
    return CONFIG.recipe(wildcards.pruner).method


def constants(wildcards):
    """The rest of this recipe, as JSON."""
    return CONFIG.recipe(wildcards.pruner).model_dump_json(exclude={"method"})


def pruner_code(wildcards):
    """Digest of this recipe's modules and of the block walk: another's change reruns nothing."""
    return code_of(*modules_of(CONFIG.recipe(wildcards.pruner)))


def checkpoint(wildcards):
    """The pruned folder; nothing for the dense model, which the registry knows."""
    return [] if wildcards.pruner == "none" else made(paths.CHECKPOINT, **wildcards)


def checkpoint_flag(wildcards, input):
    """The pruned folder as a flag; empty for the dense model."""
    return (
        ""
        if wildcards.pruner == "none"
        else shlex.join(["--checkpoint", input.checkpoint])
    )


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    return results_of([RUN])


def paper_inputs(wildcards):
    """Everything that the experiments compute, and what each of them shows."""
    names = list(CONFIG.experiments)
    if not names:
        raise WorkflowError(
            "the configuration has no `experiments`: there is no table to make"
        )
    return results_of(names) | {
        "experiments": [made(paths.EXPERIMENT, experiment=n) for n in names]
    }


def experiment_inputs(wildcards):
    """What one table or figure shows."""
    found = results_of([wildcards.experiment])
    shown = {name: found[name] for name in ("scores", "sets", "visited")}
    return shown | {
        "published": published_numbers(CONFIG.experiments[wildcards.experiment])
    }


def published_numbers(entry):
    """The file of published numbers that an experiment stands beside; nothing without any."""
    file, named, _ = (entry.published or "").rpartition("#")
    shipped = str(ROOT / "resources" / "published.csv")
    return [] if entry.published is None else [file if named else shipped]


def config_of_experiment(wildcards):
    """What a table or figure rests on of the configuration, as JSON."""
    return narrowed(CONFIG, wildcards.experiment).model_dump_json()


def config_of_paper(wildcards):
    """What all experiments rest on, as JSON."""
    return narrowed(CONFIG, *CONFIG.experiments).model_dump_json()


def config_of_run(wildcards):
    """What the run rests on, as JSON."""
    return narrowed(CONFIG, RUN).model_dump_json()


def results_of(names):
    """The files of these selections, each once."""
    keys = (
        grid.points(CONFIG, *names).drop("label").unique(maintain_order=True).to_dicts()
    )
    scores = [
        made(paths.SCORES, "scores.parquet", **key, benchmark=benchmark)
        for name in names
        for key in grid.points(CONFIG, name).to_dicts()
        for benchmark in CONFIG.selection(name).benchmarks
    ]
    benchmarks = {each for name in names for each in CONFIG.selection(name).benchmarks}
    return {
        "scores": list(dict.fromkeys(scores)),
        "problems": [
            made(paths.BENCHMARK, benchmark=each) for each in sorted(benchmarks)
        ],
        "checkpoints": [
            made(paths.CHECKPOINT, **key) for key in keys if key["pruner"] != "none"
        ],
        "funnels": sets_of_run(keys, "funnel.parquet"),
        "sets": sets_of_run(keys, "calibration.parquet"),
        "visited": sets_of_run(keys, "visited.json"),
    }


def sets_of_run(keys, name):
    """A file of every calibration set of the run."""
    files = [
        made(paths.CALIBRATION, name, **key) for key in keys if key["source"] != "none"
    ]
    return sorted(set(files))


def calibrations_of_pools():
    """The keys of this run's calibration sets of responses that the source's method judged."""
    wanted = grid.judged_by_source(CONFIG, grid.points(CONFIG))
    return wanted.select(grid.CALIBRATION_KEYS).unique(maintain_order=True).to_dicts()


def visited_of_pool(wildcards):
    """What this run's calibrations visited of a model's responses to a source."""
    keys = [
        key
        for key in calibrations_of_pools()
        if (key["generator"], key["source"]) == (wildcards.model, wildcards.source)
    ]
    return {
        "visited": [made(paths.CALIBRATION, "visited.json", **key) for key in keys],
        "problems": made(paths.SOURCE, source=wildcards.source),
    }


def audited_pools(wildcards):
    """The verdicts on every pool of the run, its problems, and what calibrations visited of it."""
    keys = calibrations_of_pools()
    if not keys:
        raise WorkflowError(
            "no calibration of this run is taken from a model's responses, judged by the source's "
            "own method: there are no verdicts to verify. Name one with a tau and without a "
            "verifier in `calibrations`."
        )
    return {
        "verdicts": sorted({of_generator(paths.VERDICTS, key) for key in keys}),
        "problems": sorted({made(paths.SOURCE, **key) for key in keys}),
        "visited": [made(paths.CALIBRATION, "visited.json", **key) for key in keys],
    }


def audit_flags(wildcards, input):
    """The files that an audit reads, as flags."""
    return shlex.join(
        word
        for name in ("verdicts", "problems", "visited")
        for file in getattr(input, name)
        for word in (f"--{name}", file)
    )


def hand_check_pages(wildcards):
    """A page for every model and source whose responses calibrations are taken from."""
    keys = calibrations_of_pools()
    if not keys:
        raise WorkflowError(
            "no calibration of this run is taken from a model's responses: there are no verdicts "
            "to check. Of a benchmark's: `ssgr hand-check --responses … --grades … --problems …`"
        )
    return sorted({of_generator(paths.HAND_CHECK, key) for key in keys})


def of_generator(path, key):
    """A file about the responses that a calibration set is taken from."""
    return made(path, model=key["generator"], source=key["source"])
