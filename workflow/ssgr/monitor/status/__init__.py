"""Watching a run: how far it is, who works at what, what failed, when it will have ended.

Everything is told from what the jobs and Snakemake leave in files; nothing is written or held.
"""

from ssgr.monitor.status.look import Failure, Running, Stage, Status, look
from ssgr.monitor.status.speed import Journals

__all__ = ["Failure", "Journals", "Running", "Stage", "Status", "look"]
