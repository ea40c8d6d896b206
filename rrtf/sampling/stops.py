"""When an answer is over: end-of-text tokens, and stop texts found without decoding the answer at every step."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor


class Stops:
    """Finds stop texts in growing answers.

    A stop text can only be complete after a token that holds its end, so answers are decoded, and only their last tokens,
    after such tokens alone. Which tokens those are is one pass over the vocabulary per set of stop texts.
    """

    def __init__(self, tokenizer: Any, *, vocabulary: int) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.pieces = [piece.replace("▁", " ") for piece in _pieces(tokenizer)]
        self.triggers = lru_cache(maxsize=64)(self._triggers)

    def _triggers(self, stop: tuple[str, ...]) -> Bool[Tensor, " vocabulary"]:
        """Tokens after which one of `stop` may be complete."""
        found = torch.zeros(self.vocabulary, dtype=torch.bool)
        ends = {text[-length:] for text in stop for length in range(1, len(text) + 1)}
        for token, piece in enumerate(self.pieces[: self.vocabulary]):
            found[token] = any(text in piece for text in stop) or any(
                piece[:length] in ends for length in range(1, len(piece) + 1)
            )
        return found

    def hit(self, tokens: Sequence[int], stop: tuple[str, ...]) -> bool:
        """Whether a stop text lies in the last tokens."""
        window = max(len(text.encode()) for text in stop) + 4  # a token is a byte or more; four for a character cut in half
        tail = self.tokenizer.decode(tokens[-window:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return any(text in tail for text in stop)


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first of the stop texts."""
    places = [place for place in (text.find(end) for end in stop) if place >= 0]
    return text[: min(places)] if places else text


def _pieces(tokenizer: Any) -> list[str]:
    """What each token adds to a text."""
    size = len(tokenizer)
    decoded: list[str] = tokenizer.batch_decode([[token] for token in range(size)], clean_up_tokenization_spaces=False)
    raw = tokenizer.convert_ids_to_tokens(list(range(size)))
    # sentencepiece tokenizers drop a leading space when they decode a token alone; their raw form has it as "▁"
    return [str(piece) if str(piece).startswith("▁") else text for piece, text in zip(raw, decoded, strict=True)]
