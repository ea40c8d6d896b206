"""What is wrong with the overrides of a command line: a sentence each, with what was perhaps meant."""

import argparse
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from rrtf.errors import ConfigurationError
from rrtf.report.redact import secrets
from rrtf.sampling.settings import names_variable
from rrtf.settings import BENCHMARK, build

# groups that decide which other values there are to set
OPENING = {"experiment", "scale", "debug", "teachers", "student", "benchmarks", "quantize"}
OPENING |= {"evolve", "clean", "decontaminate", "test_votes", "writer"}
# those of which several are chosen at once
SEVERAL = {"teachers", "benchmarks", "quantize"}

# Hydra's options that take a value as the next word
WITH_VALUE = {"--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p"}
WITH_VALUE |= {"--experimental-rerun", "--cfg", "-c"}


def check_overrides(arguments: list[str]) -> None:
    """Raise ConfigurationError with every override that can't be meant. Hydra itself would stop at the first."""
    overrides = [text for text in arguments if not text.startswith("-") and "=" in text]
    if found := secrets(overrides) + key_mistakes(overrides):  # before anything is written, Hydra's own files among them
        raise ConfigurationError(found)
    overrides = [text for text in overrides if not text.startswith("hydra")]
    if found := override_mistakes(overrides, places=_places(arguments)):
        raise ConfigurationError(found)


def options_first(arguments: Sequence[str]) -> list[str]:
    """The command line with Hydra's options before the overrides: its parser takes no override that comes after an option."""
    overrides = [
        "=" in text and not text.startswith("-") and before not in WITH_VALUE
        for before, text in zip(["", *arguments], arguments, strict=False)
    ]
    return [text for last in (False, True) for text, late in zip(arguments, overrides, strict=True) if late is last]


def key_mistakes(overrides: list[str]) -> list[str]:
    """A sentence for each key that was given where the name of the variable that holds it belongs."""
    pairs = (text.partition("=") for text in overrides)
    wrong = [name for name, _, value in pairs if name.endswith("key_variable") and not names_variable(value.strip("'\""))]
    return [f"{name}: looks like the key itself; put it into an environment variable, and its name here" for name in wrong]


def _places(arguments: list[str]) -> list[str]:
    """Where the user's own options lie: Hydra's --config-dir and hydra.searchpath, as overrides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    folder = parser.parse_known_args(arguments)[0].config_dir
    own = [f"hydra.searchpath=['file://{Path(folder).resolve()}']"] if folder else []
    return own + [text for text in arguments if text.startswith("hydra.searchpath=")]


def override_mistakes(overrides: Sequence[str], *, places: Sequence[str] = ()) -> list[str]:
    """What is wrong with each override on its own, so that one run names them all; sweeps are tried value by value.

    `places` are overrides of Hydra's that say where else options lie. Where only single values are wrong, the mistakes of
    all the others together are named too.
    """
    parser = OverridesParser.create()
    single = [text for override in overrides for text in _single(parser.parse_override(override))]
    groups, sound, found = list(places), [], dict[str, None]()
    whole, wrong = True, set[str]()
    for text in sorted(single, key=lambda text: _name(text) not in OPENING):
        if _name(text).split(".")[0] in wrong:
            continue  # a value of what could not be chosen
        mistake = _mistake(text, [group for group in groups if _name(group) != _name(text)])
        if mistake:
            found[mistake] = None
            wrong |= {_name(text)} & SEVERAL
            whole = whole and "." in _name(text)
        elif _name(text) in OPENING:
            groups.append(text)
        elif text in overrides:  # no value of a sweep
            sound.append(text)
    return [*found, *(_together([*groups, *sound]) if found and whole else ())]


def _name(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _single(parsed: Override) -> list[str]:
    """An override without sweeps: one a value, of an interval its ends."""
    if parsed.is_choice_sweep() or parsed.is_range_sweep():
        return [f"{parsed.key_or_group}={value}" for value in parsed.sweep_string_iterator()]
    value = parsed.value()
    if isinstance(value, IntervalSweep):
        return [f"{parsed.key_or_group}={value.start}", f"{parsed.key_or_group}={value.end}"]
    return [str(parsed.input_line)]


def _mistake(text: str, groups: Sequence[str]) -> str:
    """What is wrong with one override where `groups` are chosen; nothing where all is well."""
    with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
        try:
            composed = hydra.compose("config", [*groups, text])
        except MissingConfigException as error:
            return f"{text}: {_missing_option(str(error.missing_cfg_file))}"
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, (ConfigAttributeError, ConfigKeyError)):
                return f"{text}: {_missing_key(_name(text), str(cause.full_key), groups)}"
            said = " ".join((getattr(cause, "msg", None) or str(cause)).split("full_key:")[0].split())
            own = re.match("In 'benchmarks/([^']+)'", said)
            return f"{text}: {said}" + (f"; {BENCHMARK.format(own[1])}" if own else "")
        except yaml.YAMLError as error:  # a user's own file
            return f"{text}: not YAML: {' '.join(str(error).split())}"
        except AssertionError:  # OmegaConf's, where a value is set in a group that is none
            group = text.split(".")[0]
            return f"{text}: {group} is none, so nothing can be set in it; choose an option with {group}=…"
    return _nothing(text, composed)


def _nothing(text: str, composed: DictConfig) -> str:
    """Whether fewer things came of several options than were named: somebody's YAML is empty."""
    group, _, value = text.partition("=")
    named = re.findall(r"[^\[\],\s]+", value)
    if group not in SEVERAL or len(named) <= len(composed[group]):
        return ""
    empty = next((name for name in named if name not in composed[group]), named[0])
    return f"{text}: {empty} sets nothing" + (f"; {BENCHMARK.format(empty)}" if group == "benchmarks" else "")


def _missing_option(path: str) -> str:
    """`path` is group/option."""
    group, _, option = path.rpartition("/")
    loader = GlobalHydra.instance().config_loader()
    there = [name for name in loader.get_group_options(group, ObjectType.CONFIG) if not name.endswith("_schema")]
    if option.endswith("_schema") and group in ("benchmark", "benchmarks"):
        return f"{group} has no option {option!r}; {BENCHMARK.format('NAME')}"
    return f"{group} has no option {option!r} among {', '.join(there)}{_meant(option, there)}"


def _missing_key(given: str, missing: str, groups: Sequence[str]) -> str:
    """Meant is perhaps a name that ends alike, else one that looks alike; failing that, the names of the group are told."""
    parent, _, last = missing.rpartition(".")
    names = list(_names(hydra.compose("config", [*groups])))
    beside = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == parent]
    if parent in SEVERAL:
        if any(last in re.split(r"[\[\],=]", text) for text in groups if _name(text) == parent):
            return f"{last} is chosen, but its YAML calls it {' and '.join(beside)}; set it by that name"
        return f"{last} is not among the chosen {parent} ({', '.join(beside) or 'none'}); choose it with {parent}=[…,{last}]"
    alike = [name for name in names if name.rpartition(".")[2] == given.rpartition(".")[2]]
    meant = _meant(given, alike, cutoff=0.3) or _meant(last, beside, before=f"{parent}." if parent else "")
    return f"there is no setting {missing}{meant or ' among ' + ', '.join(beside)}"


def _meant(given: str, names: Sequence[str], *, cutoff: float = 0.6, before: str = "") -> str:
    return "".join(f"; did you mean {before}{close}?" for close in get_close_matches(given, names, n=1, cutoff=cutoff))


def _names(config: DictConfig) -> Iterator[str]:
    """The dotted name of everything that can be set."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    yield from _dotted(plain, "")


def _dotted(values: dict[str, Any], before: str) -> Iterator[str]:
    for key, value in values.items():
        yield f"{before}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{key}.")


def _together(overrides: Sequence[str]) -> Sequence[str]:
    """What is wrong with values, all of them together."""
    with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
        try:
            build(hydra.compose("config", ["run_dir=here", *overrides]))
        except ConfigurationError as error:
            return error.mistakes
    return ()
