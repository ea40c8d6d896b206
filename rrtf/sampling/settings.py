"""Where candidates come from and how they are decoded."""

import dataclasses
import os
from dataclasses import dataclass, field
from enum import Enum

from rrtf.profiles import Profile


@dataclass(kw_only=True)
class Decoding:
    """How answers are drawn: `n` of them at each temperature; temperature 0 is greedy and gives one."""

    # not in the paper for training data ("various temperatures"); 8 is what the sampler's speed is measured at
    n: int = 8
    # not in the paper (section 3.2 gives no values); 0.8 is the usual one for diverse programs
    temperatures: list[float] = field(default_factory=lambda: [0.8])
    # paper, section 4.1.4
    top_p: float = 0.95
    # not in the paper; 0 keeps every token
    top_k: int = 0
    # not in the paper for training data (512 in its quantization test); chosen because 256 holds every reference of the
    # function-level sets, and a small student fills the rest with repetition
    max_new_tokens: int = 256
    # not in the paper; above 1 is beam search (its best answer, one per problem), which only local models can do
    num_beams: int = 1
    # texts that end an answer, besides those of the prompt profile
    stop: list[str] = field(default_factory=list)
    # not in the paper; with the problem, the source, the temperature and the sample's number it makes each answer's own seed
    seed: int = 0

    def mistakes(self, name: str = "sampling") -> list[str]:
        """All that is wrong with these settings, in words; `name` is where they stand in the configuration."""
        found = []
        if self.n < 1:
            found.append(f"{name}.n: {self.n} is below 1")
        if not self.temperatures:
            found.append(f"{name}.temperatures: empty; name at least one (0 is greedy)")
        found += [f"{name}.temperatures: {t:g} is outside [0, 5]" for t in self.temperatures if not 0 <= t <= 5]
        if len(set(self.temperatures)) < len(self.temperatures):
            found.append(f"{name}.temperatures: {self.temperatures} names one twice; raise n instead")
        if not 0 < self.top_p <= 1:
            found.append(f"{name}.top_p: {self.top_p:g} is outside (0, 1]")
        if self.top_k < 0:
            found.append(f"{name}.top_k: {self.top_k} is below 0 (0 keeps every token)")
        if self.max_new_tokens < 1:
            found.append(f"{name}.max_new_tokens: {self.max_new_tokens} is below 1")
        if self.num_beams < 1:
            found.append(f"{name}.num_beams: {self.num_beams} is below 1")
        if self.num_beams > 1 and (self.n != 1 or self.temperatures != [0.0]):
            found.append(f"{name}.num_beams: beam search gives one answer; it needs n=1 and temperatures=[0]")
        if "" in self.stop:
            found.append(f"{name}.stop: an empty text would end every answer at once")
        return found


@dataclass(kw_only=True)
class Override:
    """What one source does differently from the run's decoding; a field left empty follows the run."""

    n: int | None = None
    temperatures: list[float] | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_new_tokens: int | None = None
    num_beams: int | None = None
    stop: list[str] | None = None
    seed: int | None = None

    def over(self, decoding: Decoding) -> Decoding:
        """`decoding` with the fields that are set here."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return dataclasses.replace(decoding, **{name: value for name, value in own.items() if value is not None})


@dataclass(kw_only=True)
class Source:
    """Somebody who answers; the subclasses say who."""

    # the form it is asked in
    profile: Profile = field(default_factory=Profile)
    # where it differs from the run's decoding
    decoding: Override = field(default_factory=Override)

    def mistakes(self, name: str) -> list[str]:
        """All that is wrong with these settings, in words; `name` is where they stand in the configuration."""
        return self.decoding.over(Decoding()).mistakes(f"{name}.decoding")


class Precision(str, Enum):
    """What a local model computes in."""

    auto = "auto"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float32 = "float32"


@dataclass(kw_only=True)
class LocalModel(Source):
    """A model whose weights are here: a folder, a hub id, or a .gguf file (see rrtf.checkpoints)."""

    checkpoint: str = ""

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        missing = [] if self.checkpoint else [f"{name}.checkpoint: empty; name a folder, a hub id or a .gguf file"]
        return missing + super().mistakes(name)


@dataclass(kw_only=True)
class HuggingFace(LocalModel):
    """A transformers model, decoded by this project's own loop (rrtf.sampling.loop)."""

    # the checkpoint's own precision where it is fast. On a CPU with bf16 instructions bf16 reads half the memory and wins at
    # every batch size measured (bench/sampling.py); on a CPU without them it is emulated and float32 wins: auto looks
    precision: Precision = Precision.auto
    # answers decoded at once; more share each reading of the weights: with 59 instead of 31 rows HumanEval's answers took 12 %
    # less time a token (82 problems, SmolLM2-135M-Instruct, one Zen 4 core)
    rows: int = 128
    # most memory for keys and values, in MiB: rows are lowered where long prompts would need more. 1 GiB holds 62 rows of
    # HumanEval's longest chat prompt for SmolLM2-135M, 2 GiB 124
    cache_mb: int = 2048
    # "" is cuda where there is one, else cpu
    device: str = ""

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        found = super().mistakes(name)
        if self.rows < 1:
            found.append(f"{name}.rows: {self.rows} is below 1")
        if self.cache_mb < 16:
            found.append(f"{name}.cache_mb: {self.cache_mb} is below 16")
        return found


@dataclass(kw_only=True)
class Vllm(LocalModel):
    """The same through vLLM (extra `gpu`), the engine to use where there is a GPU."""

    precision: Precision = Precision.auto
    # vLLM's own default; share of the GPU's memory it takes
    gpu_memory: float = 0.9
    # GPUs that share one model
    tensor_parallel: int = 1

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        found = super().mistakes(name)
        if not 0 < self.gpu_memory <= 1:
            found.append(f"{name}.gpu_memory: {self.gpu_memory:g} is outside (0, 1]")
        if self.tensor_parallel < 1:
            found.append(f"{name}.tensor_parallel: {self.tensor_parallel} is below 1")
        return found


@dataclass(kw_only=True)
class CTranslate2(LocalModel):
    """The same through CTranslate2: `checkpoint` is a converted folder, or one that is converted on the way."""

    # int8 weights and activations; the paper's fastest form (Table 4)
    compute_type: str = "int8"
    # samples of one problem drawn at once
    rows: int = 32
    # "" is cuda where there is one, else cpu
    device: str = ""

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        found = super().mistakes(name)
        if self.rows < 1:
            found.append(f"{name}.rows: {self.rows} is below 1")
        return found


def names_variable(text: str) -> bool:
    """Whether a text can be the name of an environment variable and not the key that should be in it; "" stands for none."""
    if text in os.environ or not text:
        return True
    mixed = any(letter.islower() for letter in text) and any(letter.isdigit() for letter in text)
    return text.isidentifier() and not (mixed and len(text) > 20)


@dataclass(kw_only=True)
class OpenAICompatible(Source):
    """Any server that speaks OpenAI's chat or completions protocol (vLLM, llama.cpp, transformers serve, a cloud's)."""

    # the name the server knows the model by
    model: str = ""
    # "" is the client's default, api.openai.com
    base_url: str = ""
    # the environment variable that holds the key; the key itself is never a setting and never written. "" sends none
    key_variable: str = "OPENAI_API_KEY"
    # requests under way at once
    concurrency: int = 8
    # 0 means no limit of our own
    requests_per_minute: float = 0.0
    # seconds one request may take
    timeout: float = 120.0
    # tries again after 429, 5xx, a dropped connection or a time-out, waiting twice as long each time (the server's
    # Retry-After wins)
    retries: int = 6
    # stop with an error when a larger share of the requests fails for good; the rest are counted and shown
    most_failed: float = 0.05
    # stop after this many failures before the first success: a dead or mistyped endpoint should not take the night
    dead_after: int = 5
    # prices per million tokens, for the cost line; 0 where it costs nothing
    input_price: float = 0.0
    output_price: float = 0.0

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        found = super().mistakes(name)
        if not self.model:
            found.append(f"{name}.model: empty; name the model as the server knows it")
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            found.append(f"{name}.base_url: {self.base_url!r} does not begin with http:// or https://")
        found += self._secret_mistakes(name)
        for field_name, least in (("concurrency", 1), ("retries", 0), ("dead_after", 1)):
            if (value := getattr(self, field_name)) < least:
                found.append(f"{name}.{field_name}: {value} is below {least}")
        for field_name in ("requests_per_minute", "input_price", "output_price"):
            if (price := getattr(self, field_name)) < 0:
                found.append(f"{name}.{field_name}: {price:g} is below 0")
        if self.timeout <= 0:
            found.append(f"{name}.timeout: {self.timeout:g} must be above 0 seconds")
        if not 0 <= self.most_failed <= 1:
            found.append(f"{name}.most_failed: {self.most_failed:g} is outside [0, 1]")
        return found

    def _secret_mistakes(self, name: str) -> list[str]:
        """Settings are written to files, so no setting may hold a key."""
        found = []
        if not names_variable(self.key_variable):
            found.append(
                f"{name}.key_variable: is not the name of an environment variable (the key itself goes into that variable)"
            )
        if "@" in self.base_url or "?" in self.base_url:
            found.append(f"{name}.base_url: holds a login or a query; keys come from the environment (key_variable)")
        return found


@dataclass(kw_only=True)
class Recorded(Source):
    """Responses that were sampled before: JSONL rows as the sample stage writes them, or {task_id, model, code} (.gz too)."""

    path: str = ""
    # only these sources of the file; empty takes all
    sources: list[str] = field(default_factory=list)
    # at most so many responses a problem; 0 takes all
    limit: int = 0

    def mistakes(self, name: str) -> list[str]:
        """See Source."""
        found = [] if self.path else [f"{name}.path: empty; name a .jsonl file of candidates"]
        if self.limit < 0:
            found.append(f"{name}.limit: {self.limit} is below 0 (0 takes all)")
        return found


@dataclass(kw_only=True)
class Reference(Source):
    """The problem's own solution: the paper's "human expert" (section 3.1)."""
