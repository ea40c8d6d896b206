"""The typed root of the configuration: what Hydra composes becomes one `Settings`, checked whole before anything is loaded.

Each part is the dataclass of the stage that uses it; its fields are the schema, the defaults and the thing itself.
"""

from dataclasses import dataclass, field
from typing import Optional

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from rrtf.errors import ConfigurationError
from rrtf.evaluation.settings import Benchmark
from rrtf.judge.settings import Judge
from rrtf.plan import Stage
from rrtf.problems.data_settings import Clean, Decontaminate, Evolve, TestVotes
from rrtf.problems.settings import ProblemSet
from rrtf.quantize.settings import Measurement, Quantization
from rrtf.rank import Policy, Ranking
from rrtf.report.settings import Logger
from rrtf.sampling.settings import (
    CTranslate2,
    Decoding,
    HuggingFace,
    OpenAICompatible,
    Recorded,
    Reference,
    Source,
    Vllm,
)
from rrtf.store import digest
from rrtf.training.settings import Adapter, Batching, Loss, Optim, Trainer

# what a user's own benchmark looks like, for those whose YAML looks otherwise
BENCHMARK = "{0}.yaml begins with defaults: [/benchmark@{0}: benchmark_schema, _self_] and has all of its settings under {0}:"


@dataclass(kw_only=True)
class Settings:
    """One run."""

    # the experiment's name: groups runs in reports and W&B
    name: str = "rrtf"
    # the size it was chosen at (cpu, gpu, paper), for the row; conf/scale sets it
    scale: str = ""
    student: HuggingFace = field(default_factory=HuggingFace)
    # the student's responses to the problems where they were sampled before; an empty path samples them now
    student_responses: Recorded = field(default_factory=Recorded)
    teachers: dict[str, Source] = field(default_factory=dict)
    problems: ProblemSet = field(default_factory=ProblemSet)
    # what becomes of the problems before anybody answers them; null leaves a step out (paper, section 3.3)
    evolve: Optional[Evolve] = None  # noqa: UP045 - OmegaConf reads Optional on every Python
    clean: Optional[Clean] = None  # noqa: UP045
    decontaminate: Optional[Decontaminate] = None  # noqa: UP045
    test_votes: Optional[TestVotes] = None  # noqa: UP045
    # who rewrites problems and proposes tests, always asked in profile style `verbatim`
    writer: Optional[Source] = None  # noqa: UP045
    sampling: Decoding = field(default_factory=Decoding)
    judge: Judge = field(default_factory=Judge)
    ranking: Ranking = field(default_factory=Ranking)
    loss: Loss = field(default_factory=Loss)
    adapter: Adapter = field(default_factory=Adapter)
    optim: Optim = field(default_factory=Optim)
    trainer: Trainer = field(default_factory=Trainer)
    batching: Batching = field(default_factory=Batching)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    quantize: dict[str, Quantization] = field(default_factory=dict)
    measurement: Measurement = field(default_factory=Measurement)
    logger: Logger = field(default_factory=Logger)
    # which stages may do work; the others must be cached. [] prints the plan
    stages: list[Stage] = field(default_factory=lambda: list(Stage))
    # 1 is the paper; above 1, each round samples from the student of the round before; 0 trains nothing
    rounds: int = 1
    # not in the paper; groups kept out of training to choose a checkpoint by (never a benchmark)
    validation_share: float = 0.1
    seed: int = 0
    # artifacts and caches, shared by all runs
    store: str = "runs/store"
    # what this run leaves: its configuration, metrics, table, picture and page
    run_dir: str = "runs/latest"
    # the score a sweeper maximizes, as benchmark name and k; "" takes the first benchmark's pass@1 after training
    metric: str = ""

    def mistakes(self) -> list[str]:
        """Everything wrong with this configuration, in words; empty when nothing is."""
        parts = (self.problems, self.sampling, self.judge, self.ranking, self.loss, self.adapter, self.optim)
        found = [mistake for part in (*parts, self.trainer, self.batching, self.logger) for mistake in part.mistakes()]
        found += self.student.mistakes("student") + self._data_mistakes()
        found += [mistake for name, teacher in self.teachers.items() for mistake in teacher.mistakes(f"teachers.{name}")]
        for name, benchmark in self.benchmarks.items():
            own, none = benchmark.problems, ProblemSet()
            chosen = benchmark.published or own.path or (own.source, own.name) != (none.source, none.name)
            unknown = [f"has no problems, so it is not chosen (benchmarks=[…,{name}]) or misnamed: {BENCHMARK.format(name)}"]
            found += [f"benchmarks.{name}: {mistake}" for mistake in (benchmark.mistakes() if chosen else unknown)]
            if benchmark.other_rows == self.student.rows:
                found.append(f"benchmarks.{name}.other_rows: {benchmark.other_rows} is student.rows; name another batch size")
        found += [f"quantize.{name}: {mistake}" for name, part in self.quantize.items() for mistake in part.mistakes()]
        found += [f"measurement.{mistake}" for mistake in self.measurement.mistakes()]
        if self.student_responses.path:
            found += self.student_responses.mistakes("student_responses")
        if self.rounds < 0:
            found.append(f"rounds: {self.rounds} is below 0")
        if not 0 <= self.validation_share < 0.9:
            found.append(f"validation_share: {self.validation_share} is outside [0, 0.9)")
        if self.metric and self.metric not in self.benchmarks:
            found.append(
                f"metric: {self.metric!r} is not one of the benchmarks ({', '.join(self.benchmarks) or 'there are none'})"
            )
        return found

    def _data_mistakes(self) -> list[str]:
        """What is wrong with the data work."""
        parts = [part for part in (self.evolve, self.clean, self.decontaminate, self.test_votes) if part]
        found = [mistake for part in parts for mistake in part.mistakes()]
        if self.writer:
            found += self.writer.mistakes("writer")
            own = self.writer.decoding
            if own.n not in (None, 1) or (own.temperatures and len(own.temperatures) > 1):
                found.append("writer.decoding: a writer answers once; leave n at 1 and name one temperature")
        for name, part in (("evolve", self.evolve), ("test_votes", self.test_votes)):
            if part and not self.writer:
                found.append(
                    f"{name}: needs somebody who writes; choose writer=openai_compatible, huggingface, … (group writer)"
                )
        if self.writer and not (self.evolve or self.test_votes):
            found.append("writer: nobody asks it; choose evolve=in_depth or test_votes=voted with it")
        if self.evolve and not self.test_votes and self.ranking.policy is not Policy.teacher_only:
            found.append("evolve: evolved problems have no tests; choose test_votes=voted, or rank with ranking=teacher_only")
        return found


def register() -> None:
    """Tell Hydra the schemas, each in the group whose options name it first in their defaults."""
    store = ConfigStore.instance()
    store.store(name="settings_schema", node=Settings)
    groups: dict[str, dict[str, type]] = {
        "student": {"huggingface_schema": HuggingFace},
        "problems": {"problems_schema": ProblemSet},
        "evolve": {"evolve_schema": Evolve},
        "clean": {"clean_schema": Clean},
        "decontaminate": {"decontaminate_schema": Decontaminate},
        "test_votes": {"test_votes_schema": TestVotes},
        "sampling": {"sampling_schema": Decoding},
        "judge": {"judge_schema": Judge},
        "ranking": {"ranking_schema": Ranking},
        "loss": {"loss_schema": Loss},
        "adapter": {"adapter_schema": Adapter},
        "optim": {"optim_schema": Optim},
        "trainer": {"trainer_schema": Trainer},
        "batching": {"batching_schema": Batching},
        "logger": {"logger_schema": Logger},
        "benchmark": {"benchmark_schema": Benchmark},
        "quantization": {"quantization_schema": Quantization},
        "source": {
            "huggingface_schema": HuggingFace,
            "vllm_schema": Vllm,
            "ctranslate2_schema": CTranslate2,
            "openai_compatible_schema": OpenAICompatible,
            "recorded_schema": Recorded,
            "reference_schema": Reference,
        },
    }
    for group, schemas in groups.items():
        for name, node in schemas.items():
            store.store(group=group, name=name, node=node)


def short(name: str) -> str:
    """A folder's name that a file system takes (255 bytes at most): a long one ends in its digest. For sweep folders."""
    return name if len(name.encode()) <= 180 else f"{name.encode()[:160].decode(errors='ignore')}~{digest(name)}"


# at import, because the workers of Hydra's launchers import this and call nothing
OmegaConf.register_new_resolver("short", short, replace=True)


def build(config: DictConfig) -> Settings:
    """The checked settings of a composed configuration.

    Raises ConfigurationError with every mistake at once.
    """
    settings = OmegaConf.to_object(config)
    assert isinstance(settings, Settings)
    if found := settings.mistakes():
        raise ConfigurationError(found)
    return settings
