"""Everything between a problem and a model, as pure text: what it is shown, the program in its answer, and the way back."""

from rrtf import profiles
from rrtf.completion import completion
from rrtf.extraction import EXTRACTION_VERSION, Extraction, extract
from rrtf.profiles import Message, Opening, Profile, Prompt, Style, render, stops

# part of every artifact's key: another wording gives other answers, another extraction other programs from the same ones
VERSION = f"{profiles.VERSION}.{EXTRACTION_VERSION}"

__all__ = [
    "VERSION",
    "Extraction",
    "Message",
    "Opening",
    "Profile",
    "Prompt",
    "Style",
    "completion",
    "extract",
    "render",
    "stops",
]
