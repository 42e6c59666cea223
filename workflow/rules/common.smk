# What all stages share: the checked configuration, the paths and the wildcards (INTERFACE.yaml says
# what each wildcard means).
import os
import re
import shlex
import sys
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import update_config


def package_alone():
    """A folder of this run that holds a link to the installed package, and nothing else."""
    spec = find_spec("ssgr")
    if spec is None:
        raise WorkflowError(
            f"{workflow.current_basedir}: Snakemake fetches the rules of another repository, not "
            "its Python package. Install that beside Snakemake, of the same tag: "
            "pip install git+https://…/ssgr@TAG"
        )
    link, package = Path(".snakemake/ssgr/ssgr").absolute(), Path(spec.origin).parent
    if not (link.exists() and link.samefile(package)):
        link.parent.mkdir(parents=True, exist_ok=True)
        aside = link.with_name(uuid4().hex)
        aside.symlink_to(package.resolve())
        aside.replace(link)
    return str(link.parent)


# The package is this checkout's. The rules may also be those of a repository elsewhere, fetched by
# Snakemake for another workflow's `module:`; then it is the one installed beside Snakemake.
if isinstance(workflow.current_basedir, os.PathLike):
    PACKAGES = os.path.dirname(workflow.current_basedir)
else:
    PACKAGES = package_alone()
sys.path.insert(0, PACKAGES)

import ssgr
from ssgr import problems
from ssgr.cluster.sizing import configs
from ssgr.jobs import fit
from ssgr.config import REFERENCE_LENGTHS, RUN
from ssgr.errors import SsgrError
from ssgr.grading.methods import METHODS
from ssgr.jobs import listing, paths, waves
from ssgr.jobs.pools import Shards, check_pools, who_is_at_work
from ssgr.jobs.resources import Answering, Limits, Pruning, Sampling, sizes_not_known
from ssgr.jobs.specs import Specs
from ssgr.jobs.start import Found, look
from ssgr.jobs.validation import load_config
from ssgr.monitor.status.look import STAGE_OF
from ssgr.monitor.status.run import check_alone
from ssgr.pruning import pruner_names
from ssgr.report.tables.check import check_experiments
from ssgr.report.tables.published import published_file
from ssgr.root import ROOT
from ssgr.selection.length_rules import LENGTH_RULES
from ssgr.storage import provenance

if not Path(PACKAGES, "ssgr").samefile(Path(ssgr.__file__).parent):
    raise WorkflowError(
        f"the rules are those of {PACKAGES}, but the package ssgr of "
        f"{Path(ssgr.__file__).parents[1]} is loaded already: one workflow, one version"
    )


def put_first(folder, variable, default):
    """Put a folder at the head of a search path of the environment, once."""
    found = os.environ.get(variable, default).split(os.pathsep)
    others = [each for each in found if each not in ("", folder)]
    os.environ[variable] = os.pathsep.join([folder, *others])


# A job's `python -m ssgr` is the interpreter that runs Snakemake, activated or not, and the same
# package; a conda environment puts its own interpreter first.
put_first(os.path.dirname(sys.executable), "PATH", os.defpath)
put_first(PACKAGES, "PYTHONPATH", "")

# The `config:` of a module holds what differs, as a --configfile does.
if workflow.modifier.skip_configfile:
    given = config
    config = load_configfile(workflow.source_path("../../config/config.yaml"))
    update_config(config, given)


TARGETS = sorted(workflow.dag_settings.targets) if workflow.dag_settings else []
FILES = map(Path, workflow.configfiles)
FOUND = look(config, FILES, TARGETS) if workflow.is_main_process else Found()
try:
    CONFIG = load_config(config, FOUND.mistakes)
except SsgrError as error:
    raise WorkflowError(str(error)) from None

POOL = CONFIG.pool.folder
RESULTS = CONFIG.results
REPORT = f"{RESULTS}/{paths.REPORT}"
PAPER = f"{RESULTS}/{paths.PAPER}"


def made(*parts, **keys):
    """A path of this run, below its results: a pattern, or with keys the file itself."""
    path = "/".join([RESULTS, *parts])
    return path.format(**keys) if keys else path


def all_made(found):
    """Paths of this run."""
    return [made(path) for path in found]


def log_of(rule):
    """The log of a rule's jobs."""
    return made(paths.log(rule))


def cost_of(rule):
    """What a rule's jobs took."""
    return made(paths.cost(rule))


redirected = workflow.pathvars.items.get("results", "results") != "results"
if redirected or workflow.modifier.path_modifier.replace_prefix(REPORT) != REPORT:
    raise WorkflowError(
        "`prefix`, `replace_prefix` and `pathvars` of a module do not move what jobs are told: "
        "leave them out, and say in the module's `config` where files go, by `results` and "
        "`pool.path`"
    )


def one_of(names):
    """A wildcard constraint: exactly one of these names."""
    return "|".join(re.escape(name) for name in names)


wildcard_constraints:
    model=one_of(CONFIG.models),
    source=one_of([*CONFIG.sources, "none"]),
    generator=one_of([*CONFIG.models, "none"]),
    verifier=one_of([*METHODS, "none"]),
    benchmark=one_of(CONFIG.benchmarks),
    experiment=one_of(CONFIG.experiments or ["none"]),
    sampling=r"n\d+-t[\d.]+-p[\d.]+-l\d+-s\d+",
    shard=r"\d+-\d+",
    wave=r"\d\d\d\d+",
    tau=r"none|\d\.\d\d(\.\.\d\.\d\d)?",
    length=one_of([*LENGTH_RULES, *REFERENCE_LENGTHS, "none"]),
    thinking="kept|dropped|none",
    budget=r"none|\d+x\d+-s\d+",
    pruner=one_of([*pruner_names(), *CONFIG.pruners, "none"]),
    sparsity=r"[\d.]+|\d+-\d+",


def limit_of(name):
    """What --resources or a profile allows of a resource all jobs together; None is any amount."""
    limit = workflow.global_resources.get(name)
    return getattr(limit, "value", limit)


LIMITS = Limits(limit_of, cache(logger.warning))
SPECS = Specs(CONFIG)
SHARDS = Shards(CONFIG)
SAMPLING = Sampling(CONFIG, LIMITS, SHARDS.complete)
PRUNING = Pruning(CONFIG, LIMITS)
ANSWERING = Answering(CONFIG, LIMITS)
memory = LIMITS.memory
