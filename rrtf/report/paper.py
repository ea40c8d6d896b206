"""The paper's own numbers (arXiv 2307.14936v1), for tables and figures that put ours beside them.

Each set carries a mark: how sure it is that the number stands so in the paper. `verbatim`: read from its text;
`confirmed`: verbatim and agreeing with arithmetic or a second source; `inferred`: follows from other numbers, not printed.
"""

from typing import NamedTuple


class SampledScore(NamedTuple):
    """A row of Table 2: HumanEval pass@k in percent; None where the paper prints a dash."""

    model: str
    parameters: str
    pass_at_1: float
    pass_at_10: float | None
    pass_at_100: float | None
    run_by_authors: bool


class GreedyScore(NamedTuple):
    """A row of Table 3: percent, problems solved (inferred, out of 164 and 230), and LeetCode problems solved of 79/150/71."""

    model: str
    parameters: str
    humaneval: float
    humaneval_solved: int
    codereval: float
    codereval_solved: int
    leetcode: tuple[int, int, int]


class QuantizedScore(NamedTuple):
    """A row of Table 4: GPU memory, time per token, greedy HumanEval percent and problems solved (inferred, of 164)."""

    model: str
    precision: str
    memory_gb: float
    ms_per_token: float
    humaneval: float
    solved: int


class Curve(NamedTuple):
    """A panel of Figure 4: only the peak and the axes survive; the curve itself is an image."""

    data: str
    prompts: int
    epochs: float
    peak: float
    solved: int


class Overlap(NamedTuple):
    """A panel of Figure 5: problems by who solves them, in the order of `OVERLAP_REGIONS`; `unsolved` of 164."""

    protocol: str
    regions: tuple[int, ...]
    unsolved: int


# n=200, T=0.2 for pass@1 and 1.2 for pass@10 and pass@100, top_p 0.95; the better of several runs is reported
# mark: verbatim
TABLE_2 = (
    SampledScore("AlphaCode", "1.1B", 17.1, 28.2, 45.3, False),
    SampledScore("Phi-1", "1.3B", 50.6, None, None, False),
    SampledScore("Codex", "12B", 28.81, 46.81, 72.31, False),
    SampledScore("LaMDA", "137B", 14.0, None, 47.3, False),
    SampledScore("PaLM-Coder", "540B", 36.0, None, 88.4, False),
    SampledScore("GPT-3.5 (OpenAI 2023)", "", 48.1, None, None, False),
    SampledScore("GPT-3.5 (Luo 2023)", "", 68.9, None, None, False),
    SampledScore("GPT-4 (OpenAI 2023)", "", 67.0, None, None, False),
    SampledScore("GPT-4 (Bubeck 2023)", "", 82.0, None, None, False),
    SampledScore("CodeGen-mono", "16B", 29.28, 49.86, 75.00, False),
    SampledScore("CodeGeeX", "13B", 22.89, 39.57, 60.92, False),
    SampledScore("StarCoder", "15B", 33.60, 45.78, 79.82, True),
    SampledScore("CodeT5+", "16B", 30.9, 51.6, 76.7, False),
    SampledScore("WizardCoder", "15B", 57.30, 73.32, 90.46, True),
    SampledScore("PanGu-Coder2", "15B", 61.64, 79.55, 91.76, True),
)

# mark: confirmed
LEETCODE_PROBLEMS = (79, 150, 71)
TABLE_3 = (
    GreedyScore("PanGu-Coder", "2.6B", 23.78, 39, 15.21, 35, (6, 3, 0)),
    GreedyScore("Replit-code-instruct-glaive", "2.7B", 56.10, 92, 27.39, 63, (3, 5, 2)),
    GreedyScore("StarCoder", "15B", 32.93, 54, 37.82, 87, (18, 13, 2)),
    GreedyScore("WizardCoder", "15B", 59.80, 98, 33.48, 77, (29, 22, 7)),
    GreedyScore("PanGu-Coder2", "15B", 62.20, 102, 38.26, 88, (32, 30, 10)),
)

# the text says temperature 0.2, the column says greedy: the paper contradicts itself; 62.20 is the greedy value
# mark: verbatim
TABLE_4 = (
    QuantizedScore("PanGu-Coder2", "float16", 32.36, 75, 62.20, 102),
    QuantizedScore("PanGu-Coder2-CTranslate2", "int8", 16.29, 33, 64.63, 106),
    QuantizedScore("PanGu-Coder2-GPTQ", "int8", 16.92, 51, 51.22, 84),
    QuantizedScore("PanGu-Coder2-GPTQ", "int4", 9.82, 42, 51.83, 85),
)

# which peak belongs to which panel is inferred; the 18k run took about 8 prompts a step, the others about 512, so the panels
# do not compare data sizes alone
# mark: inferred
FIGURE_4 = (
    Curve("18k", 18_000, 4.9, 51.22, 84),
    Curve("38k", 38_000, 4.1, 53.66, 88),
    Curve("68k", 68_000, 6.0, 62.20, 102),
)

FIGURE_5_MODELS = ("PanGu-Coder2", "WizardCoder", "StarCoder")
# which of the three models solve the problems of a region
OVERLAP_REGIONS = (
    (True, False, False),
    (True, True, False),
    (True, False, True),
    (True, True, True),
    (False, True, False),
    (False, True, True),
    (False, False, True),
)
# pass@200 of StarCoder would be 60.4 %, below its own pass@100 in Table 2: panel (b) can't come from the same samples
FIGURE_5 = (
    Overlap("greedy pass@1", (18, 32, 3, 49, 16, 1, 1), 44),  # mark: confirmed
    Overlap("nucleus pass@200", (5, 51, 0, 99, 3, 0, 0), 6),  # mark: inferred
)


def overlap_solved(panel: Overlap, model: int) -> int:
    """How many problems a model (its place in FIGURE_5_MODELS) solves in a panel."""
    return sum(count for region, count in zip(OVERLAP_REGIONS, panel.regions, strict=True) if region[model])
