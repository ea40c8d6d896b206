"""Settings of the quantize stage. Imports nothing but the standard library."""

from dataclasses import dataclass
from enum import Enum


class Method(str, Enum):
    """A small format and the library that makes it.

    ct2_int8          CTranslate2, 8-bit weights and 8-bit products (paper, Table 4)
    ct2_int8_float16  the same with float16 between the products; a CPU without float16 arithmetic runs it in float32
    ct2_float32       CTranslate2 with nothing rounded: what the change of runtime alone does
    gptq_int8         GPTQ, 8-bit weights (paper, Table 4)
    gptq_int4         GPTQ, 4-bit weights (paper, Table 4)
    """

    ct2_int8 = "ct2_int8"
    ct2_int8_float16 = "ct2_int8_float16"
    ct2_float32 = "ct2_float32"
    gptq_int8 = "gptq_int8"
    gptq_int4 = "gptq_int4"


GROUP_SIZES = (-1, 16, 32, 64, 128, 256, 512, 1024)
GPTQ_BITS = (2, 3, 4, 8)


@dataclass(kw_only=True)
class Quantization:
    """One small format of a checkpoint; also the object `quantize` takes. CTranslate2 reads only `method`."""

    # the paper's best row (Table 4)
    method: Method = Method.ct2_int8
    # bits of a weight, GPTQ only; 0 takes the number in the method's name. The paper has 8 and 4
    bits: int = 0
    # weights that share one scale, GPTQ only; -1 is a whole row. Not in the paper; chosen because 64 divides the layer widths
    # of every student here (576 = 9 x 64 in SmolLM2-135M, which 128 does not), as GPTQ's kernels need
    group_size: int = 64
    # GPTQ rounds the columns that matter most first. Not in the paper; off because it slows most kernels down
    act_order: bool = False
    # training problems whose prompt and solution calibrate GPTQ. Not in the paper; 128 texts is what the GPTQ paper used
    calibration_problems: int = 128
    # tokens kept of each text. Not in the paper; chosen because our prompts with their solutions are rarely longer
    calibration_tokens: int = 512
    # which problems are drawn
    seed: int = 0

    @property
    def gptq(self) -> bool:
        """Whether GPTQ makes it, from calibration texts; CTranslate2 needs none."""
        return self.method in (Method.gptq_int8, Method.gptq_int4)

    @property
    def weight_bits(self) -> int:
        """Bits of one weight in the result, scales not counted."""
        named = {Method.ct2_float32: 32, Method.gptq_int4: 4}.get(self.method, 8)
        return self.bits or named

    @property
    def label(self) -> str:
        """How tables name the format."""
        if self.gptq:
            return f"GPTQ int{self.weight_bits}"
        return f"CTranslate2 {self.method.value.removeprefix('ct2_')}"

    def mistakes(self) -> list[str]:
        """Every value outside its range, in words."""
        found = []
        if self.bits and not self.gptq:
            found.append(f"bits: {self.bits} has no meaning for {self.method.value}; only GPTQ takes it")
        elif self.bits not in (0, *GPTQ_BITS):
            found.append(f"bits: {self.bits} is not one of {', '.join(map(str, GPTQ_BITS))}, or 0 for the method's own")
        if self.group_size not in GROUP_SIZES:
            found.append(f"group_size: {self.group_size} is not one of {', '.join(map(str, GROUP_SIZES))} (-1 is a whole row)")
        if self.calibration_problems < 1:
            found.append(f"calibration_problems: {self.calibration_problems} is below 1")
        if self.calibration_tokens < 16:
            found.append(f"calibration_tokens: {self.calibration_tokens} is below 16")
        return found


@dataclass(kw_only=True)
class Measurement:
    """How formats are measured. The paper (Table 4) says "on the same device" and nothing of the rest."""

    # turns of each format; the median of them is reported. Not in the paper; 5 outlasts one disturbance
    rounds: int = 5
    # tokens of each prompt; chosen because HumanEval's prompts have 80 to 250 in a chat template
    prompt_tokens: int = 128
    # tokens timed after the prompt, end tokens ignored; chosen so that five rounds of five formats take minutes
    new_tokens: int = 32
    # processor threads, 0 for every one this process may use
    threads: int = 0

    def mistakes(self) -> list[str]:
        """Every value outside its range, in words."""
        least = {"rounds": 1, "prompt_tokens": 1, "new_tokens": 1, "threads": 0}
        return [f"{name}: {getattr(self, name)} is below {low}" for name, low in least.items() if getattr(self, name) < low]
