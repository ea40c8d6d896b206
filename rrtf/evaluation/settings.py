"""What a benchmark is: problems, a prompt profile and a decoding protocol."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from rrtf.problems.settings import ProblemSet
from rrtf.prompts import Profile, Style


class Variant(str, Enum):
    """A change that keeps a problem's meaning. The two with examples show three tests: compare them with each other."""

    none = "none"
    renamed = "renamed"
    reworded = "reworded"
    examples = "examples"
    examples_reordered = "examples_reordered"


class ProtocolKind(str, Enum):
    """How answers are decoded: the likeliest token each time, n random samples, or beam search's best."""

    greedy = "greedy"
    samples = "samples"
    beam = "beam"


@dataclass(kw_only=True)
class Protocol:
    """How a benchmark's answers are decoded and counted."""

    # paper, Table 3 and Figure 4: greedy decoding; Table 2 uses samples
    kind: ProtocolKind = ProtocolKind.greedy
    # samples a problem; paper, Table 2: 200 (set kind=samples with it). Greedy and beam give one answer
    n: int = 1
    # paper, Table 2: 0.2 for pass@1, 1.2 for pass@10 and pass@100; only kind=samples reads it
    temperature: float = 0.2
    # paper, section 4.1.4: 0.95; only kind=samples reads it
    top_p: float = 0.95
    # not in the paper; chosen because 4 is the usual width for code; only kind=beam reads it
    num_beams: int = 4
    # not in the paper for Tables 2 and 3 (512 in the quantization test); chosen because 256 holds every HumanEval reference,
    # and a small student fills the rest with repetition
    max_new_tokens: int = 256
    # the k of pass@k, each at most n
    ks: list[int] = field(default_factory=lambda: [1])
    # not in the paper; chosen so that the same command gives the same samples
    seed: int = 0

    @property
    def label(self) -> str:
        """How a score names its protocol."""
        if self.kind is ProtocolKind.samples:
            return f"n={self.n} T={self.temperature:g} top_p={self.top_p:g}"
        return f"beam {self.num_beams}" if self.kind is ProtocolKind.beam else "greedy"

    def mistakes(self) -> list[str]:
        """All that is wrong with these settings, in words."""
        found = []
        if self.n < 1:
            found.append(f"protocol.n: {self.n} is below 1")
        if self.kind is not ProtocolKind.samples and self.n > 1:
            found.append(f"protocol.n: {self.kind.value} gives one answer a problem, not {self.n} (use kind=samples)")
        if self.kind is ProtocolKind.samples and self.temperature <= 0:
            found.append(f"protocol.temperature: {self.temperature:g} must be above 0 for samples (use kind=greedy)")
        if not 0 < self.top_p <= 1:
            found.append(f"protocol.top_p: {self.top_p:g} is outside (0, 1]")
        if self.kind is ProtocolKind.beam and self.num_beams < 2:
            found.append(f"protocol.num_beams: {self.num_beams} is below 2 (one beam is kind=greedy)")
        if self.max_new_tokens < 1:
            found.append(f"protocol.max_new_tokens: {self.max_new_tokens} is below 1")
        if not self.ks:
            found.append("protocol.ks: empty; name at least one k")
        found += [f"protocol.ks: pass@{k} needs k from 1 to n, and n is {self.n}" for k in self.ks if not 1 <= k <= self.n]
        return found


@dataclass(kw_only=True)
class Benchmark:
    """A set of problems, how they are asked and how the answers are decoded. Add one with one YAML and one JSONL file."""

    problems: ProblemSet = field(default_factory=ProblemSet)
    # the prompt profile; null means the model's own, so that it is asked in the form it knows
    profile: Optional[Profile] = None  # noqa: UP045 - OmegaConf reads Optional on every Python
    # tasks of the same file shown solved before each problem; only profile.style=plain has a place for them
    examples: list[str] = field(default_factory=list)
    # ask each problem in another form that means the same, to see whether the score holds (rrtf.evaluation.robustness)
    variant: Variant = Variant.none
    protocol: Protocol = field(default_factory=Protocol)
    # how far batch size alone moves a greedy score: each model answers twice more, once with its own `rows`, once with this
    # many at once. Not in the paper; 0 leaves it out, because it takes twice the time and more
    other_rows: int = 0
    # for CoderEval: the container image of its authors, in which their own runner judges; "" judges here
    image: str = ""
    # where the set was published, shown beside the score; its licence stands in `problems`
    published: str = ""

    def mistakes(self) -> list[str]:
        """All that is wrong with these settings, in words."""
        found = self.problems.mistakes() + self.protocol.mistakes()
        if self.examples and (self.profile is None or self.profile.style is not Style.plain):
            found.append("examples: worked examples need profile.style=plain; the other styles have no place for them")
        if self.other_rows < 0:
            found.append(f"other_rows: {self.other_rows} is below 0 (0 leaves it out)")
        if self.other_rows and self.protocol.kind is not ProtocolKind.greedy:
            found.append(f"other_rows: {self.protocol.kind.value} answers are not compared by batch size, only greedy ones")
        return found
