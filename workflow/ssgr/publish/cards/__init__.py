"""Cards: what goes with a checkpoint or a calibration set to people who did not make it.

The templates lie here and not beside the pruners, whose code digest counts templates: another
wording must not prune a model again.
"""
