"""The command `rrtf`: Hydra composes the configuration, the pipeline runs it, a sweeper gets the score."""

import sys
import warnings
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from rrtf.errors import ConfigurationError, InfrastructureError, UserError
from rrtf.overrides import check_overrides, options_first
from rrtf.settings import Settings, build, register
from rrtf.store import digest
from rrtf.sweep import ledger
from rrtf.sweep.launching import launch_mistakes
from rrtf.sweep.ledger import Point
from rrtf.sweep.point import run_point
from rrtf.training.launched import helps

CONFIG = {"config_path": "pkg://rrtf.conf", "config_name": "config", "version_base": "1.3"}


@hydra.main(**CONFIG)
def run(config: DictConfig) -> float | None:
    """One run, or one point of a sweep; the score a sweeper maximizes comes back."""
    console = Console(highlight=False)
    chosen = HydraConfig.get()
    if chosen.mode is RunMode.MULTIRUN:
        return sweep_point(config, chosen, console)
    from rrtf.run import execute_run

    try:
        return execute_run(build(config), console, overrides=list(chosen.overrides.task))
    except (UserError, InfrastructureError) as error:
        fail(error)
        return None


def sweep_point(config: DictConfig, chosen: HydraConf, console: Console) -> float | None:
    """One point of a multirun, unless the ledger in the sweep's folder knows its score or somebody who works on it."""
    from rrtf.pipeline import inputs
    from rrtf.run import execute_run

    overrides = tuple(chosen.overrides.task)
    try:
        settings = build(config)
        check_launcher(settings, chosen)
        identity = ledger.identity(settings, inputs=inputs(settings))
    except UserError as error:
        mistake, identity = error, digest(overrides)

        def work() -> float | None:
            raise mistake
    else:

        def work() -> float | None:
            return execute_run(settings, console, overrides=overrides)

        # only the plan is wanted, and that again each time; or this process trains along with the one that keeps the ledger
        if not settings.stages or helps(settings.trainer):
            return work()

    point = Point(identity=identity, overrides=overrides, run_dir=str(config.run_dir))
    searching = not chosen.sweeper._target_.endswith("BasicSweeper")
    return run_point(work, ledger=Path(chosen.sweep.dir), point=point, searching=searching, console=console)


def check_launcher(settings: Settings, chosen: HydraConf) -> None:
    """Raise ConfigurationError if a sweep point needs more processes than its launcher starts."""
    launcher = chosen.launcher
    found = launch_mistakes(
        launcher=chosen.runtime.choices["hydra/launcher"],
        devices=settings.trainer.devices,
        nodes=settings.trainer.nodes,
        tasks_per_node=launcher.get("tasks_per_node", 1),
        launcher_nodes=launcher.get("nodes", 1),
    )
    if found:
        raise ConfigurationError(found)


def fail(error: Exception) -> None:
    """Say what is wrong and stop, without a traceback."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]rrtf:[/bold red] {escape(str(error))}")
    sys.exit(2)


def main() -> None:
    """Entry point of the console script."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    register()
    sys.argv[1:] = options_first(sys.argv[1:])
    try:
        check_overrides(sys.argv[1:])
        run()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        print("\nrrtf: stopped; finished work is kept, the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
