# What a job asks for: GPUs, nodes, memory, minutes, disk, an environment, and how its engine runs.
# Nothing here changes a result, and nothing here is a param: a changed resource reruns no job.


def gpu_allowed(wildcards, asked):
    """GPUs that a job of this model asks for; more than there are is refused, never clipped."""
    there = limit_of("gpu")
    if isinstance(there, int) and asked > there:
        raise WorkflowError(
            f"models.{wildcards.model}.gpu asks for {asked} GPUs per job, --resources gpu={there} "
            f"allows {there}: lower the one or raise the other"
        )
    return asked


def gpu_of_engine(wildcards, entry):
    """GPUs of a job with a registry entry's engine, on all of its nodes."""
    return gpu_allowed(wildcards, entry.gpu * nodes_of_engine(entry))


def evaluation_gpu(wildcards):
    """GPUs to answer a benchmark."""
    entry = CONFIG.models[wildcards.model].for_evaluation()
    return gpu_of_engine(wildcards, entry)


def pruning_gpu(wildcards):
    """GPUs to prune this model: one block at a time is there, which one GPU holds."""
    return gpu_allowed(wildcards, min(1, CONFIG.models[wildcards.model].gpu))


def nodes_of_engine(entry):
    """Machines that hold one model together; only vLLM can."""
    return entry.nodes if entry.engine == "vllm" else 1


def evaluation_nodes(wildcards):
    """Machines of a job that answers a benchmark; None is one."""
    nodes = nodes_of_engine(CONFIG.models[wildcards.model].for_evaluation())
    return nodes if nodes > 1 else None


def shard_nodes(wildcards):
    """Machines of a job that samples this shard; None is one."""
    nodes = nodes_of_engine(CONFIG.models[wildcards.model])
    return nodes if nodes > 1 and not is_in_the_pool(wildcards) else None


def on_nodes(nodes, value):
    """A resource of the SLURM executor, of jobs on several machines only.

    ``mpi`` says that a job starts its processes on the other nodes itself.
    """

    def value_on_nodes(wildcards):
        return None if nodes(wildcards) is None else value

    return value_on_nodes


def gpus_of_node(nodes):
    """The GPUs of each machine, as SLURM calls them; all of them may lie unevenly else."""

    def gres(wildcards):
        entry = CONFIG.models[wildcards.model]
        if not entry.gpu or nodes(wildcards) is None:
            return None
        return ":".join(filter(None, ["gpu", entry.gpu_model, str(entry.gpu)]))

    return gres


def python_of_engine(entry):
    """The interpreter of the environment that holds a registry entry's engine."""
    return shlex.quote(os.path.expanduser(entry.python or "python"))


def model_python(wildcards):
    """The interpreter that samples the pool."""
    return python_of_engine(CONFIG.models[wildcards.model])


def evaluation_python(wildcards):
    """The interpreter that answers benchmarks."""
    return python_of_engine(CONFIG.models[wildcards.model].for_evaluation())


def environment_of_engine(entry):
    """The conda environment of an engine, seen from a rule's file; for --sdm conda."""
    return "../../envs/vllm.yaml" if entry.engine == "vllm" else "../../envs/ssgr.yaml"


def sampling_environment(wildcards):
    """The conda environment that samples the pool."""
    return environment_of_engine(CONFIG.models[wildcards.model])


def evaluation_environment(wildcards):
    """The conda environment that answers benchmarks."""
    return environment_of_engine(CONFIG.models[wildcards.model].for_evaluation())


def memory(mem_mb):
    """Memory in MB that a job asks for: twice as much at each further attempt, if there is."""

    def memory_of_attempt(wildcards, attempt):
        return as_there_is("mem_mb", mem_mb * 2 ** (attempt - 1))

    return memory_of_attempt


def shape_of_model(wildcards):
    """How large this model is, if its config.json is at hand."""
    return configs.at_hand(CONFIG.models[wildcards.model]).shape


def sampling_job(wildcards):
    """What a job asks for that samples a shard."""
    return requests.sampling_job(CONFIG, wildcards.model, shape_of_model(wildcards))


def answering_job(wildcards):
    """What a job asks for that answers a benchmark."""
    problems = problems_of(CONFIG, Path(RESULTS), "benchmark", wildcards.benchmark)
    return requests.answering_job(
        CONFIG, wildcards.model, shape_of_model(wildcards), problems
    )


def pruning_job(wildcards):
    """What a job asks for that prunes this model."""
    recipe = CONFIG.recipe(wildcards.pruner)
    none = wildcards.budget == "none"
    budget = None if none else CONFIG.budget.of_key(wildcards.budget)
    return requests.pruning_job(
        CONFIG, wildcards.model, shape_of_model(wildcards), recipe, budget
    )


def asked_by(job, key):
    """A resource of a stage's jobs, as their model's entry or its size says; more at each attempt.

    No more than this machine has, where --resources or a profile says so: else no job would start.
    """

    def asked(wildcards, attempt):
        wanted = job(wildcards).at(key, attempt)
        there = as_there_is(key, wanted)
        if there < wanted:
            say_that_it_is_less(wildcards.model, key, there)
        return there

    return asked


def as_there_is(key, wanted):
    """So much of a resource, or all that --resources or a profile allows."""
    there = limit_of(key)
    return min(wanted, there) if isinstance(there, int) else wanted


@cache
def say_that_it_is_less(model, key, there):
    """Warn, once, that jobs get less than they may need."""
    logger.warning(
        f"models.{model}: its jobs may need more than the {there:,} of {key} there are. A smaller "
        "batch_size or shorter responses take less"
    )


def limit_of(name):
    """What --resources or a profile allows of a resource all jobs together; None is any amount."""
    limit = workflow.global_resources.get(name)
    return getattr(limit, "value", limit)


def model_gpu_model(wildcards):
    """The kind of GPU that a job of this model asks for; None is any, or none at all."""
    entry = CONFIG.models[wildcards.model]
    return entry.gpu_model if entry.gpu else None


def model_threads(wildcards):
    """Processor threads that a job of this model uses."""
    return CONFIG.models[wildcards.model].threads


def engine_flags(wildcards, attempt):
    """How this model's engine runs, as flags: nothing here changes a response."""
    return flags_of_engine(CONFIG.models[wildcards.model], attempt)


def evaluation_flags(wildcards, attempt):
    """The same for the engine that answers benchmarks."""
    return flags_of_engine(CONFIG.models[wildcards.model].for_evaluation(), attempt)


def flags_of_engine(entry, attempt):
    """How a registry entry's engine runs, as flags: half the batch at each further attempt."""
    batch_size = max(1, entry.batch_size >> (attempt - 1))
    flags = ["--model.batch-size", str(batch_size)]
    if entry.memory_share is not None:
        flags += ["--model.memory-share", str(entry.memory_share)]
    flags += flags_of_layout(entry)
    if entry.server is not None:
        flags += ["--model.server", entry.server.model_dump_json()]
    return shlex.join(flags)


def flags_of_layout(entry):
    """How the GPUs of a job share one model, as flags, where the entry says anything of it."""
    keys = ("tensor_parallel", "pipeline_parallel", "nodes", "distributed")
    fields = type(entry).model_fields
    given = [key for key in keys if getattr(entry, key) != fields[key].default]
    if entry.engine != "vllm" or not given:
        return []
    pairs = [(key, str(getattr(entry, key))) for key in ("gpu", *given)]
    return [
        word
        for key, value in pairs
        for word in (f"--model.{key.replace('_', '-')}", value)
    ]
