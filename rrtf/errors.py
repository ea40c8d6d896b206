"""The errors a user is meant to read. Each message names the place and, where one exists, the command that fixes it."""

from collections.abc import Sequence
from pathlib import Path


class UserError(Exception):
    """Something the user can mend; shown without a traceback, exit status 2."""


class ConfigurationError(UserError):
    """All mistakes of a configuration at once, found before anything is loaded."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        listed = "\n".join(f"  - {mistake}" for mistake in mistakes)
        super().__init__(f"{len(self.mistakes)} configuration mistake(s):\n{listed}")


class DataError(UserError):
    """A bad row: says which file and line (counted from 1)."""

    def __init__(self, path: Path | str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")


class MissingDataError(UserError):
    """A file, checkpoint or data set that is not there, with the way to get it."""


class InfrastructureError(Exception):
    """The machinery failed (dead judge, dead endpoint, full disk). Never turned into a score."""
