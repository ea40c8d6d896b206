"""From a source's settings to the engine that answers for it. Each engine is imported only when it is used."""

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from rrtf.checkpoints import Checkpoint, is_ctranslate2, resolve
from rrtf.profiles import Prompt
from rrtf.sampling.generator import Generator
from rrtf.sampling.settings import (
    CTranslate2,
    Decoding,
    HuggingFace,
    LocalModel,
    OpenAICompatible,
    Recorded,
    Source,
    Vllm,
)
from rrtf.sampling.written import recorded_file
from rrtf.store import digest, file_digest


@runtime_checkable
class TextOf(Protocol):
    """Turns a prompt into the exact text that the model sees, or the best account of it."""

    def text(self, prompt: Prompt) -> str:
        """The text of one prompt."""


class Engine(NamedTuple):
    """A source made ready: what its answers depend on, and how to start it.

    `settings` are those that change answers (precision yes, batch size no).
    """

    source: Source
    decoding: Decoding
    digest: str
    settings: dict[str, Any]
    path: Path

    def writer(self) -> TextOf:
        """The writer of this source's prompts."""
        if isinstance(self.source, LocalModel):
            from rrtf.sampling.local import Writer

            return Writer(self.path)
        from rrtf.sampling.openai_compatible import ChatText

        return ChatText()

    def start(self) -> Generator:
        """The engine with its model loaded."""
        if isinstance(self.source, HuggingFace):
            from rrtf.sampling.huggingface import HuggingFaceGenerator

            return HuggingFaceGenerator(self.source, self.decoding, path=self.path)
        if isinstance(self.source, CTranslate2):
            from rrtf.sampling.ctranslate import CTranslate2Generator

            return CTranslate2Generator(self.source, self.decoding, path=self.path)
        if isinstance(self.source, Vllm):
            from rrtf.sampling.vllm import VllmGenerator

            return VllmGenerator(self.source, self.decoding, path=self.path)
        from rrtf.sampling.openai_compatible import OpenAIGenerator

        assert isinstance(self.source, OpenAICompatible)
        return OpenAIGenerator(self.source, self.decoding)


@lru_cache(maxsize=32)
def _checkpoint(name: str) -> Checkpoint:
    """`resolve`, once per name and process."""
    return resolve(name)


def engine(source: Source, decoding: Decoding) -> Engine:
    """The engine of a source that generates."""
    if isinstance(source, LocalModel):
        found = _checkpoint(source.checkpoint)
        if isinstance(source, HuggingFace) and is_ctranslate2(found.path):
            source = _converted(source)
        return Engine(source, decoding, found.digest, _answer_settings(source), found.path)
    assert isinstance(source, OpenAICompatible)
    return Engine(source, decoding, digest([source.base_url, source.model]), _answer_settings(source), Path())


def _converted(source: HuggingFace) -> CTranslate2:
    """Who answers for a folder that is in CTranslate2's format already, whatever source it was named in."""
    own = {"profile": source.profile, "decoding": source.decoding, "device": source.device}
    return CTranslate2(checkpoint=source.checkpoint, compute_type="default", **own)  # type: ignore[arg-type]


def identity(source: Source) -> dict[str, Any]:
    """What an artifact's key must hold of a source: kind, profile, own decoding, and the digest of weights or file."""
    row = {
        "kind": type(source).__name__,
        "profile": dataclasses.asdict(source.profile),
        "decoding": dataclasses.asdict(source.decoding),
        "settings": _answer_settings(source),
    }
    if isinstance(source, Recorded):
        row["digest"] = file_digest(recorded_file(source))
    elif isinstance(source, (LocalModel, OpenAICompatible)):
        row["digest"] = engine(source, Decoding()).digest
    return row


def _answer_settings(source: Source) -> dict[str, Any]:
    if isinstance(source, (HuggingFace, Vllm)):
        return {"engine": type(source).__name__, "precision": source.precision.value}
    if isinstance(source, CTranslate2):
        # raise the version when CTranslate2 answers the same request otherwise: 2 since every draw begins at its own seed
        return {"engine": "CTranslate2", "compute_type": source.compute_type, "version": 2}
    if isinstance(source, OpenAICompatible):
        return {"engine": "OpenAICompatible", "model": source.model, "base_url": source.base_url}
    return {"sources": source.sources, "limit": source.limit} if isinstance(source, Recorded) else {}
