"""Where a run's numbers go besides its own folder."""

from dataclasses import dataclass
from enum import Enum


class WandbMode(str, Enum):
    """Whether Weights & Biases gets the run now, later (`wandb sync FOLDER`), or never."""

    online = "online"
    offline = "offline"
    disabled = "disabled"


@dataclass(kw_only=True)
class Logger:
    """metrics.jsonl is always written; W&B gets the same numbers unless its mode is disabled."""

    # not in the paper; chosen because offline needs no account and can be synced later
    mode: WandbMode = WandbMode.offline
    # not in the paper; the W&B project; the API key comes from the environment only and is never written
    project: str = "rrtf"
    # not in the paper; the W&B user or team, "" for the account's own
    entity: str = ""
    # not in the paper; chosen because forty candidates a source show what a model does and stay readable
    samples: int = 40

    def mistakes(self) -> list[str]:
        """All that is wrong with these settings, in words."""
        found = []
        if not self.project:
            found.append("logger.project: is empty; W&B files runs under a project")
        if set(self.project + self.entity) & set("/\\#?%:"):
            found.append(f"logger.project, entity: {self.project!r}, {self.entity!r} must not hold any of / \\ # ? % :")
        if self.samples < 0:
            found.append(f"logger.samples: {self.samples} is negative; 0 logs no table")
        return found
