"""Looking at a run, once or again and again, and showing it where it is wanted."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live

from ssgr.monitor.status.asked import Asked
from ssgr.monitor.status.look import Status, look
from ssgr.monitor.status.speed import Journals
from ssgr.monitor.status.view import printed, view
from ssgr.storage.atomic import write_text


@dataclass(frozen=True)
class Showing:
    """What to look at, how often (``interval`` in seconds), and where to show it."""

    asked: Asked
    directory: Path
    interval: float
    watch: bool
    html: Path | None
    as_json: bool
    journals: Journals = field(default_factory=Journals)

    def show(self) -> None:
        """Look and show; with ``watch`` until it is interrupted."""
        status = self._look()
        if not self.watch or self._quiet:
            self._put(status)
        if self.watch:
            self._again(status)

    @property
    def _quiet(self) -> bool:
        """Whether the terminal stays as it is."""
        return self.as_json or self.html is not None

    def _look(self) -> Status:
        return look(
            self.asked.config,
            self.directory,
            self.asked.targets,
            follows=self.asked.follows,
            journals=self.journals,
        )

    def _again(self, status: Status) -> None:
        """Look and show until Ctrl-C, which leaves the last look on the screen."""
        console = Console()
        live = Live(
            view(status, True), console=console, screen=console.is_terminal, auto_refresh=False
        )
        try:
            with contextlib.nullcontext() if self._quiet else live:
                while True:
                    time.sleep(self.interval)
                    status = self._look()
                    if self._quiet:
                        self._put(status)
                    else:
                        live.update(view(status, True), refresh=True)
        except KeyboardInterrupt:
            if not self._quiet:
                printed(status)

    def _put(self, status: Status) -> None:
        if self.html:
            from ssgr.monitor.status.page import render

            write_text(self.html, render(status, self.interval if self.watch else None))
        if self.as_json:
            print(json.dumps(asdict(status), default=str), flush=True)
        elif not self.html:
            printed(status)
