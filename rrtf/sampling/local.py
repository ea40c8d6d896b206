"""What every engine with local weights needs: tokenizer, chat template, the exact text and ids of a prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from rrtf.errors import ConfigurationError
from rrtf.loading import load_tokenizer
from rrtf.profiles import Message, Prompt

# templates that tell the date (Llama 3.2's, SmolLM3's) get this one, Llama's own where it knows none: with the true one a
# prompt would be another tomorrow, and every answer would be drawn again
_FIXED_DATE = '{% macro strftime_now(format) %}{{ {"%Y-%m-%d": "2024-07-26"}.get(format, "26 Jul 2024") }}{% endmacro %}'


class Writer:
    """Turns prompts into the exact text a model sees, and that text into ids.

    The text holds every special token, the beginning-of-text one included, so tokenizing it without adding any gives what
    the model was shown: training scores the same ids.
    """

    def __init__(self, path: Path) -> None:
        self.tokenizer = load_tokenizer(path)
        self.beginning = beginning(self.tokenizer)

    def text(self, prompt: Prompt) -> str:
        """The text of a prompt. Raises ConfigurationError for a chat prompt that there is no chat template for."""
        if not prompt.messages:
            return self.beginning + prompt.text + prompt.prefill
        if not self.tokenizer.chat_template:
            raise ConfigurationError(
                ["profile.style: chat, but the tokenizer has no chat template; choose paper, starcoder, wizardcoder or plain"]
            )
        return chat(self.tokenizer, prompt.messages) + prompt.prefill

    def ids(self, text: str) -> list[int]:
        """The ids of an exact text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def chat(tokenizer: Any, messages: Sequence[Message]) -> str:
    """What the tokenizer's chat template makes of the messages. Raises ConfigurationError where it refuses them."""
    template = tokenizer.get_chat_template()
    try:
        rendered = tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            tokenize=False,
            add_generation_prompt=True,
            chat_template=_FIXED_DATE + template if "strftime_now" in template else template,
        )
    except jinja2.TemplateError as error:
        raise ConfigurationError([f"the tokenizer's chat template refuses the messages: {error}"]) from None
    return str(rendered)


def beginning(tokenizer: Any) -> str:
    """What the tokenizer itself puts before a text (Llama's <s>), as text."""
    ids = tokenizer("x")["input_ids"]
    return str(tokenizer.bos_token) if ids and ids[0] == tokenizer.bos_token_id else ""


class Limits(NamedTuple):
    """What ends an answer besides stop texts: end tokens, and the positions the model knows."""

    ends: frozenset[int]
    context: int


def limits(tokenizer: Any, config: Any, generation: Any) -> Limits:
    """End tokens from the generation settings, the configuration and the tokenizer; the context from the configuration."""
    ends: set[int] = set()
    for holder in (generation, config, tokenizer):
        found = getattr(holder, "eos_token_id", None)
        ends |= set(found) if isinstance(found, (list, tuple)) else {found} if found is not None else set()
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 30
    return Limits(frozenset(ends), int(context))
