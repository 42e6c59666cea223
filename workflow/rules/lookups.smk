# Named functions that say what a rule's inputs, params and resources are for its wildcards.
# Rules hold no lambdas; what identifies a job is a param, what only executes it a resource.


def as_json(part):
    """A part of the configuration as a param: a function, since braces would be wildcards."""

    def json_of_part(wildcards):
        return part.model_dump_json()

    return json_of_part


def model_source(wildcards):
    """Where a model comes from, as JSON: what pruning and tokenizing depend on."""
    return points.source_of_model(CONFIG.models[wildcards.model])


def model_asked(wildcards):
    """Where a model comes from and how it is asked, as JSON: what its responses depend on."""
    return points.model_asked(CONFIG.models[wildcards.model])


def model_weights(wildcards):
    """A fingerprint of the model's files: a retrained model reruns what it made."""
    return points.weights(CONFIG.models[wildcards.model])


def model_gpu(wildcards):
    """GPUs that a job of this model asks for."""
    return CONFIG.models[wildcards.model].gpu


def model_mem_mb(wildcards):
    """Memory in MB that a job of this model asks for."""
    return CONFIG.models[wildcards.model].mem_mb


def model_threads(wildcards):
    """Processor threads that a job of this model uses."""
    return CONFIG.models[wildcards.model].threads


def model_batch_size(wildcards):
    """Responses that one job of this model decodes side by side."""
    return CONFIG.models[wildcards.model].batch_size


def judge_flags(model, method):
    """How answers are judged: the method, the model's thinking tags, the time limit."""
    entry = CONFIG.models[model]
    tags = ["--think-open", entry.think_open, "--think-close", entry.think_close]
    limit = ["--time-limit", str(CONFIG.grading.time_limit)]
    return shlex.join(["--method", method, *tags, *limit])


def pool_shards(stage, model, source):
    """The shards of a source in the pool: of `responses` or of `grades`."""
    return expand(
        f"{POOL}/{stage}/{SHARD}",
        model=model,
        source=source,
        sampling=CONFIG.sampling.key,
        shard=points.shards(CONFIG.pool),
    )


def source_data(wildcards):
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


def source_files(wildcards):
    """The local files that a source's problems are read from."""
    return data_files(CONFIG.sources[wildcards.source].data)


def benchmark_files(wildcards):
    """The local files that a benchmark's problems are read from."""
    return data_files(CONFIG.benchmarks[wildcards.benchmark].data)


def check_pool():
    """Refuse a pool that was made from other problems, another model or another prompt."""
    for source in {entry.source for entry in CONFIG.run_calibrations.values()}:
        data = CONFIG.sources[source].data.model_dump(exclude_defaults=True)
        pool.check(Path(SOURCE.format(source=source)), {"data": data})
        for name in CONFIG.run.models:
            wanted = points.pool_spec(CONFIG.models[name])
            for shard in pool_shards("responses", name, source):
                pool.check(Path(shard), wanted)


try:
    check_pool()
except SsgrError as error:
    raise WorkflowError(str(error)) from None


def shard_rows(wildcards):
    """The rows of the source's problems that this shard holds, as flags."""
    first, last = wildcards.shard.split("-")
    return f"--first {int(first)} --last {int(last)}"


def source_method(wildcards):
    """How answers to this source are judged, as flags."""
    return judge_flags(wildcards.model, CONFIG.sources[wildcards.source].method)


def pool_responses(wildcards):
    """The pool's responses that this selection chooses from; none for references and text."""
    if wildcards.length in REFERENCE_LENGTHS:
        return []
    return pool_shards("responses", wildcards.model, wildcards.source)


def pool_grades(wildcards):
    """Their grades, in the same order."""
    if wildcards.length in REFERENCE_LENGTHS:
        return []
    return pool_shards("grades", wildcards.model, wildcards.source)


def shard_flags(wildcards, input):
    """The pool's shards, one flag each."""
    files = [("--responses", file) for file in input.responses]
    files += [("--grades", file) for file in input.grades]
    return shlex.join(word for flag_and_file in files for word in flag_and_file)


def tau_flag(wildcards):
    """The difficulty threshold as a flag; references have none."""
    return "" if wildcards.tau == "none" else f"--tau {wildcards.tau}"


def solution_template(wildcards):
    """How a reference solution of this source reads, as a flag; only where one is wanted."""
    template = CONFIG.sources[wildcards.source].solution_template
    wanted = wildcards.length == "solution"
    return shlex.join(["--solution-template", template]) if wanted else ""


def calibration_set(wildcards):
    """The calibration set of this checkpoint; none for a pruner that needs none."""
    if wildcards.source == "none":
        return []
    return f"{CALIBRATION}/calibration.parquet"


def calibration_flag(wildcards, input):
    """The calibration set as a flag; empty for a pruner that needs none."""
    return shlex.join(["--calibration", input[0]]) if input else ""


def pruner_code(wildcards):
    """Digest of this pruner and of the block walk: another pruner's change reruns nothing."""
    return provenance.code_digest(
        "ssgr.pruning.checkpoint", f"ssgr.pruning.pruners.{wildcards.pruner}"
    )


def checkpoint(wildcards):
    """The pruned folder; nothing for the dense model, which the registry knows."""
    return [] if wildcards.pruner == "none" else CHECKPOINT.format(**wildcards)


def checkpoint_flag(wildcards, input):
    """The pruned folder as a flag; empty for the dense model."""
    return (
        ""
        if wildcards.pruner == "none"
        else shlex.join(["--checkpoint", input.checkpoint])
    )


def benchmark_method(wildcards):
    """How answers to this benchmark are judged, as flags."""
    return judge_flags(wildcards.model, CONFIG.benchmarks[wildcards.benchmark].method)


def report_inputs(wildcards):
    """Everything that the configured run computes."""
    keys = points.points(CONFIG).to_dicts()
    return {
        "scores": [
            f"{SCORES}/scores.parquet".format(**key, benchmark=name)
            for key in keys
            for name in CONFIG.run_benchmarks
        ],
        "checkpoints": [
            CHECKPOINT.format(**key) for key in keys if key["pruner"] != "none"
        ],
        "funnels": sorted(
            {
                f"{CALIBRATION}/funnel.parquet".format(**key)
                for key in keys
                if key["source"] != "none"
            }
        ),
        "pool": sorted(
            {
                shard
                for key in keys
                if key["tau"] != "none"
                for shard in pool_shards("grades", key["model"], key["source"])
            }
        ),
    }
