"""What Hydra calls around a multirun (conf/config.yaml, hydra.callbacks): the table of points at its end."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from rrtf.sweep.command import show
from rrtf.sweep.ledger import FILE


class ShowPoints:
    """Prints what became of the sweep; the command's exit status is 1 if a point failed."""

    def on_multirun_end(self, config: Any, **unused: Any) -> None:
        """After the last point."""
        folder = Path(config.hydra.sweep.dir)
        if (folder / FILE).is_file() and not show(folder, Console(highlight=False)):
            sys.exit(1)

    def on_multirun_start(self, config: Any, **unused: Any) -> None:
        """Nothing to do; Hydra asks for the method."""

    on_run_start = on_run_end = on_job_start = on_job_end = on_multirun_start
