"""What would stop an experiment at its end, found before anything is computed for it."""

from ssgr.config import Config
from ssgr.errors import ConfigError
from ssgr.experiments.arms import arms
from ssgr.experiments.published import read_published


def check_experiments(config: Config) -> None:
    """Refuse experiments whose table could not be made of what they ask for.

    Raises:
        ConfigError: differences are to be taken against a calibration that is not shown.
        ReportError: two kinds have one label; the best is to be taken of what is not there; there
            are no such published numbers.
        TableError: the published numbers are no such table.
    """
    for name, experiment in config.experiments.items():
        shown = [arm for arm in arms(config, name) if arm.is_calibrated or arm.members]
        kinds = list(dict.fromkeys(kind for arm in shown for kind in arm.calibrations))
        if shown and experiment.against and experiment.against not in kinds:
            raise ConfigError(
                f"experiments.{name}.against: {experiment.against!r} is no row of the experiment, "
                f"so nothing could be compared with it; its rows are {', '.join(kinds)}"
            )
        if experiment.published is not None:
            read_published(experiment.published)
