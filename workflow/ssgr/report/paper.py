"""The paper page: every experiment of a configuration, with responses to read, on one page."""

from pathlib import Path

from ssgr.config import Config
from ssgr.errors import ReportError
from ssgr.jobs.grid import points
from ssgr.report.breakdowns import breakdowns
from ssgr.report.exhibits import CloserLook, render
from ssgr.report.gather import scores
from ssgr.report.samples import samples
from ssgr.storage.atomic import write_text


def write_paper(results: Path, pool: Path, config: Config, out: Path) -> None:
    """Build every experiment of ``config`` and write the page, whole.

    Args:
        results: folder of this configuration's files.
        pool: folder of the sampled responses.
        config: what was run; its experiments are shown in their order.
        out: HTML file; links to exports lead to ``../experiments/NAME/`` beside its folder.

    Raises:
        ReportError: there are no experiments, or something that one asks for was not measured.
        TableError: a file is damaged or of another schema.
        PoolError: what a calibration visited of the pool is gone.
        SsgrError: the page cannot be written.
    """
    from ssgr.report.tables.build import build

    if not config.experiments:
        raise ReportError("the configuration has no `experiments`: there is no table to show")
    exhibits = [build(config, name, results, pool) for name in config.experiments]
    write_text(out, render(exhibits, config, closer_look(results, config)))


def closer_look(results: Path, config: Config) -> CloserLook:
    """Look closer at an experiment's checkpoints: at the first that compares against one kind.

    Raises: as ``ssgr.report.gather.gather``.
    """
    compared = [name for name, one in config.experiments.items() if one.against]
    name = (compared or list(config.experiments))[0]
    benchmarks = list(config.selection(name).benchmarks)
    kinds = ("label", "model", "pruner", "sparsity")  # of several draws, the first
    wanted = points(config, name).unique(kinds, keep="first", maintain_order=True)
    return CloserLook(
        experiment=name,
        scores=scores(results, wanted, benchmarks),
        breakdowns=breakdowns(results, wanted, benchmarks),
        samples=samples(results, config, wanted, benchmarks),
    )
