"""What Hydra calls around a multirun (conf/config.yaml, hydra.callbacks): the table of points at its end."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from rrtf.sweep.command import show
from rrtf.sweep.ledger import FILE, Ledger, State
from rrtf.sweep.point import BEGAN


class ShowPoints:
    """Prints what became of the sweep; the command's exit status is 1 if a point of this multirun failed."""

    def on_multirun_start(self, config: Any, **unused: Any) -> None:
        """Before the first point: failures before now are an earlier command's. Workers of any launcher are told too."""
        self.start = time.time()
        os.environ[BEGAN] = str(self.start)

    def on_multirun_end(self, config: Any, **unused: Any) -> None:
        """After the last point."""
        folder = Path(config.hydra.sweep.dir)
        if not (folder / FILE).is_file():
            return
        show(folder, Console(highlight=False))
        if any(point.state is State.failed and point.started >= self.start for point in Ledger(folder).points()):
            sys.exit(1)

    def nothing(self, **unused: Any) -> None:
        """Hydra asks for these too."""

    on_run_start = on_run_end = on_job_start = on_job_end = nothing
