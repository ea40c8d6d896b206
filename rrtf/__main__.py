"""The command `rrtf`: Hydra composes the configuration, the pipeline runs it, a sweeper gets the score."""

import sys
import warnings

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from rrtf.errors import ConfigurationError, UserError
from rrtf.settings import build, register

CONFIG = {"config_path": "pkg://rrtf.conf", "config_name": "config", "version_base": "1.3"}


def override_mistakes(overrides: list[str]) -> list[str]:
    """What is wrong with each override on its own, so that one run names them all; sweeps are tried value by value."""
    parser = OverridesParser.create()
    single: list[str] = []
    for text in overrides:
        parsed = parser.parse_override(text)
        choices = parsed.sweep_string_iterator() if parsed.is_choice_sweep() else []
        single += [f"{parsed.key_or_group}={choice}" for choice in choices] or [text]
    groups = [
        text for text in single if text.split("=")[0].lstrip("+~") in {"experiment", "scale", "debug", "teachers", "student"}
    ]
    found: dict[str, None] = {}
    for text in single:
        try:
            with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
                hydra.compose("config", [*(group for group in groups if group.split("=")[0] != text.split("=")[0]), text])
        except (HydraException, OmegaConfBaseException) as error:
            found[f"{text}: {' '.join(str(error.__cause__ or error).split())}"] = None
    return list(found)


def check_overrides(arguments: list[str]) -> None:
    """Raise ConfigurationError with every override that can't be meant. Hydra itself would stop at the first."""
    overrides = [text for text in arguments if not text.startswith("-") and "=" in text]
    if any(text.startswith("hydra") for text in overrides):
        overrides = [text for text in overrides if not text.startswith("hydra")]
    if found := override_mistakes(overrides):
        raise ConfigurationError(found)


@hydra.main(**CONFIG)
def run(config: DictConfig) -> float | None:
    """One run, or one point of a sweep; the score a sweeper maximizes comes back."""
    from rrtf.run import execute_run

    console = Console(highlight=False)
    try:
        return execute_run(build(config), console, overrides=list(HydraConfig.get().overrides.task))
    except UserError as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            console.print(f"[red]{error}[/red]")
            raise
        fail(error)
        return None


def fail(error: Exception) -> None:
    """Say what is wrong and stop, without a traceback."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]rrtf:[/bold red] {error}", markup=True)
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
