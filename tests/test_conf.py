"""Every option of every group composes, every experiment at every scale; what they compose to is kept as golden files.

After a wanted change, `python tests/test_conf.py` renews the golden files; the diff of the commit then shows what it changed.
"""

import functools
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from rrtf.errors import ConfigurationError
from rrtf.settings import Settings, build, register

CONF = Path(__file__).parents[1] / "conf"
GOLDEN = Path(__file__).parent / "golden"
SCALES = ("cpu", "gpu", "paper")
SEVERAL = {"teachers", "benchmarks", "quantize"}
# they change other groups, so each is composed on its own
WHOLE = {"experiment", "scale", "debug", "sizes", "hydra/sweeper"}
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def options() -> dict[str, list[str]]:
    """group -> its options, from the files."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        if path.parent != CONF:
            found.setdefault(str(path.parent.relative_to(CONF)), []).append(path.stem)
    return found


@pytest.fixture(scope="module", autouse=True)
def _opened() -> Iterator[None]:
    """Hydra keeps what it read while it is open: a composition then takes a third of the time."""
    register()
    with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
        yield


def compose(*overrides: str) -> DictConfig:
    return hydra.compose("config", ["run_dir=here", *overrides], return_hydra_config=True)


def built(*overrides: str) -> Settings:
    config = compose(*overrides)
    with open_dict(config):
        del config["hydra"]
    return build(config)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(getattr(value, "value", value))


@functools.cache
def lines(*overrides: str) -> dict[str, str]:
    """The composed values as dotted names, those of Hydra's own that an experiment sets among them."""
    config = compose(*overrides)
    values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    own = values.pop("hydra")
    kept = {
        "mode": getattr(own["mode"], "name", "RUN"),
        "sweep": own["sweep"],
        "sweeper": {"params": own["sweeper"].get("params")},
    }
    return dict(flat(values)) | {f"hydra.{key}": text for key, text in flat(kept) if text != "None"}


def difference(old: dict[str, str], new: dict[str, str]) -> list[str]:
    changed = [f"{key}: {text}" for key, text in new.items() if old.get(key) != text]
    return changed + [f"{key}: (gone)" for key in old if key not in new]


def golden_defaults() -> str:
    return "".join(f"{key}: {text}\n" for key, text in lines().items())


def golden_options() -> str:
    return "".join(f"{group}={name}\n" for group, names in options().items() for name in names)


def golden_experiment(name: str) -> str:
    defaults = lines()
    parts = []
    for scale in SCALES:
        changed = difference(defaults, lines(f"experiment={name}", f"scale={scale}"))
        parts.append(f"# what experiment={name} scale={scale} changes in the defaults\n" + "".join(f"{t}\n" for t in changed))
    return "\n".join(parts)


RENEW = "renew with: python tests/test_conf.py"


def test_the_options_are_the_known_ones() -> None:
    assert golden_options() == (GOLDEN / "options.txt").read_text(), RENEW


def test_the_defaults_are_the_known_ones() -> None:
    assert golden_defaults() == (GOLDEN / "defaults.txt").read_text(), RENEW


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_at_every_scale_to_what_is_known(name: str) -> None:
    assert golden_experiment(name) == (GOLDEN / f"{name}.txt").read_text(), RENEW


def test_there_is_a_golden_file_for_each_experiment_and_no_other() -> None:
    assert len(EXPERIMENTS) == 13
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"options", "defaults", *EXPERIMENTS}


def test_every_option_of_every_group_composes_to_settings() -> None:
    groups = {group: names for group, names in options().items() if group not in WHOLE}
    seen = set()
    for turn in range(max(map(len, groups.values()))):
        # one composition takes the next option of each group: as many compositions as the longest group has options
        chosen = {group: names[turn % len(names)] for group, names in groups.items()}
        overrides = [f"{group}=[{name}]" if group in SEVERAL else f"{group}={name}" for group, name in chosen.items()]
        # what an option asks of the user, a machine or another group is a mistake in words and no exception
        try:
            built(*overrides, *(["problems.path=some.jsonl"] if chosen["problems"] == "jsonl" else []))
        except ConfigurationError as error:
            assert all(re.fullmatch(r"[\w.]+", mistake.split(": ")[0]) for mistake in error.mistakes)
        seen |= {f"{group}={name}" for group, name in chosen.items()}
    assert len(seen) == sum(map(len, groups.values())) > 50


@pytest.mark.parametrize("override", [f"{group}={name}" for group in ("scale", "debug") for name in options()[group]])
def test_scales_and_debug_options_compose_to_settings_without_mistakes(override: str) -> None:
    assert built(override).mistakes() == []


def points(name: str, *more: str) -> list[tuple[str, ...]]:
    """The overrides of every point of an experiment's own sweep."""
    params = compose(f"experiment={name}", *more).hydra.sweeper.params or {}
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    choices = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [f"{one.key_or_group}={one.get_value_element_as_str()}"]
        for one in parsed
    ]
    return list(product(*choices))


@pytest.mark.slow
def test_every_value_of_every_sweep_is_free_of_mistakes() -> None:
    counted = {}
    for name in EXPERIMENTS:
        swept = points(name)
        tried: set[str] = set()
        for overrides in swept:
            if not tried.issuperset(overrides):  # each value once, not each combination
                built(f"experiment={name}", *overrides)
                tried |= set(overrides)
        counted[name] = len(swept)
    assert counted["ablation_feedback"] == 8 and counted["figure4_epochs"] == 3 and sum(counted.values()) > 30


def test_the_paper_scale_is_the_papers() -> None:
    table2, training = built("experiment=table2_sampling", "scale=paper"), built("scale=paper", "experiment=table3_greedy")
    protocol = table2.benchmarks["humaneval"].protocol
    assert (protocol.n, protocol.ks, protocol.top_p) == (200, [1, 10, 100], 0.95)
    assert points("table2_sampling", "scale=paper") == [
        (f"benchmarks.humaneval.protocol.temperature={t}",) for t in ("0.2", "1.2")
    ]
    assert (training.batching.prompts_per_step, training.batching.epochs) == (512, 6)
    assert training.student.checkpoint == "bigcode/starcoder" and training.student.profile.style.value == "paper"
    assert training.benchmarks["codereval"].problems.path.startswith("codereval/CoderEval_Python_230")


def test_every_number_says_where_it_comes_from() -> None:
    checked = 0
    source = r"paper|not stated|section|Table|Figure|RRHF|CPU cores|ours"
    for path in sorted(CONF.glob("*/**/*.yaml")):
        comment = ""
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if line.lstrip().startswith("#"):
                comment = line
            elif re.search(r"[:\[,] *-?[0-9]", line) and not re.search(r"@|\$|sha256:|fetch:|examples:", line):
                assert re.search(source, comment), f"{path}:{number}: {line}"
                checked += 1
    assert checked >= 100


def test_the_search_composes_where_optuna_is_installed() -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs rrtf[sweep]")
    assert compose("hydra/sweeper=search", "experiment=optimization").hydra.sweeper.direction == "maximize"


def renew() -> None:
    """Write every golden file anew."""
    register()
    hydra.initialize_config_module("rrtf.conf", version_base="1.3")
    texts = {"options": golden_options(), "defaults": golden_defaults()} | {
        name: golden_experiment(name) for name in EXPERIMENTS
    }
    for name, text in texts.items():
        (GOLDEN / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    renew()
