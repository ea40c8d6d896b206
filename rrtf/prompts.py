"""Everything between a problem and a model, as pure text: what it is shown, the program in its answer, and the way back."""

from rrtf.completion import completion
from rrtf.extraction import Extraction, extract
from rrtf.profiles import VERSION, Message, Opening, Profile, Prompt, Style, render, stops

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
