"""The command `rrtf`: Hydra composes the configuration, the pipeline runs it, a sweeper gets the score."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from rrtf.errors import ConfigurationError, InfrastructureError, UserError
from rrtf.report.redact import secrets
from rrtf.sampling.settings import names_variable
from rrtf.settings import Settings, build, register
from rrtf.store import digest
from rrtf.sweep import ledger
from rrtf.sweep.launching import launch_mistakes
from rrtf.sweep.ledger import Point
from rrtf.sweep.point import run_point
from rrtf.training.launched import helps

CONFIG = {"config_path": "pkg://rrtf.conf", "config_name": "config", "version_base": "1.3"}

# groups that decide which other values there are to set
OPENING = {"experiment", "scale", "debug", "teachers", "student", "benchmarks", "quantize"}
OPENING |= {"evolve", "clean", "decontaminate", "test_votes", "writer"}


def override_mistakes(overrides: list[str], *, places: Sequence[str] = ()) -> list[str]:
    """What is wrong with each override on its own, so that one run names them all; sweeps are tried value by value.

    `places` are overrides of Hydra's that say where else options lie.
    """
    parser = OverridesParser.create()
    single: list[str] = []
    for text in overrides:
        parsed = parser.parse_override(text)
        single += [f"{parsed.key_or_group}={choice}" for choice in _values(parsed)] or [text]
    groups = [*places, *(text for text in single if text.split("=")[0].lstrip("+~") in OPENING)]
    found: dict[str, None] = {}
    for text in single:
        try:
            with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
                hydra.compose("config", [*(group for group in groups if group.split("=")[0] != text.split("=")[0]), text])
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            found[f"{text}: {' '.join(str(error.__cause__ or error).split())}"] = None
        except AssertionError:  # OmegaConf's, where a value is set in a group that is none
            group = text.split(".")[0]
            found[f"{text}: {group} is none, so nothing can be set in it; choose an option with {group}=…"] = None
    return list(found)


def _values(parsed: Override) -> list[str]:
    """What a sweep over an override tries, of an interval its ends; nothing where it is no such sweep."""
    if parsed.is_choice_sweep() or parsed.is_range_sweep():
        return [str(value) for value in parsed.sweep_string_iterator()]
    value = parsed.value()
    return [str(value.start), str(value.end)] if isinstance(value, IntervalSweep) else []


def key_mistakes(overrides: list[str]) -> list[str]:
    """A sentence for each key that was given where the name of the variable that holds it belongs."""
    pairs = (text.partition("=") for text in overrides)
    wrong = [name for name, _, value in pairs if name.endswith("key_variable") and not names_variable(value.strip("'\""))]
    return [f"{name}: looks like the key itself; put it into an environment variable, and its name here" for name in wrong]


def check_overrides(arguments: list[str]) -> None:
    """Raise ConfigurationError with every override that can't be meant. Hydra itself would stop at the first."""
    overrides = [text for text in arguments if not text.startswith("-") and "=" in text]
    if found := secrets(overrides) + key_mistakes(overrides):  # before anything is written, Hydra's own files among them
        raise ConfigurationError(found)
    if any(text.startswith("hydra") for text in overrides):
        overrides = [text for text in overrides if not text.startswith("hydra")]
    if found := override_mistakes(overrides, places=_places(arguments)):
        raise ConfigurationError(found)


def _places(arguments: list[str]) -> list[str]:
    """Where the user's own options lie: Hydra's --config-dir and hydra.searchpath, as overrides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    folder = parser.parse_known_args(arguments)[0].config_dir
    own = [f"hydra.searchpath=['file://{Path(folder).resolve()}']"] if folder else []
    return own + [text for text in arguments if text.startswith("hydra.searchpath=")]


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
