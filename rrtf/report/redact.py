"""Secrets stay out of files: whatever is logged or written as a row goes through here first."""

import os
import re
from collections.abc import Iterable
from typing import Any

from rrtf.records import to_row

HIDDEN = "(hidden)"
# names of settings that hold a secret; `key_variable` (the name of a variable) and `max_new_tokens` are none
_NAME = r"(?:[\w-]*[_-])?(?:api_?key|password|passwd|secret|authorization|credentials?|token)"
_SECRET_NAME = re.compile(rf"^{_NAME}$", re.IGNORECASE)
_ASSIGNED = re.compile(rf"((?:^|[\s.,{{]){_NAME}\s*[=:]\s*)([^\s,}}]+)", re.IGNORECASE)
_LOGIN_IN_URL = re.compile(r"(//)[^/\s@]+@")
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
# shorter values of such variables ("1", "true") would blot out ordinary text
_SHORTEST = 8


def redact(value: Any) -> Any:
    """`value` as plain JSON values without secrets.

    Hidden are values under a secret's name, `name=value` inside texts, logins inside URLs, and any text that holds the value
    of an environment variable whose name says it is secret. Not found: a secret that none of these mark.
    """
    held = {text for name, text in os.environ.items() if _SECRET_VARIABLE.search(name) and len(text) >= _SHORTEST}
    return _redacted(to_row(value), held)


def secrets(overrides: Iterable[str]) -> list[str]:
    """A sentence for each override `name=value` that `redact` would change: settings are written to files as they are."""
    hidden = ((text, redact(text)) for text in overrides)
    return [
        f"{safe}: holds a secret, and settings are written to files; keep it in an environment variable"
        for text, safe in hidden
        if safe != text
    ]


def _redacted(value: Any, held: set[str]) -> Any:
    if isinstance(value, dict):
        return {
            _text(str(name), held): HIDDEN if _SECRET_NAME.match(str(name)) and item else _redacted(item, held)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_redacted(item, held) for item in value]
    return _text(value, held) if isinstance(value, str) else value


def _text(text: str, held: set[str]) -> str:
    for secret in held:
        text = text.replace(secret, HIDDEN)
    return _LOGIN_IN_URL.sub(rf"\1{HIDDEN}@", _ASSIGNED.sub(rf"\1{HIDDEN}", text))
