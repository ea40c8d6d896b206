"""The first exchange with a candidate process: send the program, learn whether it compiled, ran and what it defines."""

import re
from typing import Any

from rrtf.judge.errors import bare
from rrtf.judge.run import Evidence, Gone, Run
from rrtf.judge.zygote import UNCONFINED

HEAVY = re.compile(r"^\s*(?:import|from)\s+(numpy|pandas|scipy|sympy|networkx|sklearn|torch)\b", re.MULTILINE)
_FULL = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT


def load(
    run: Run, program: str, *, names: list[str], classes: list[str], main: bool = False, alone: str = ""
) -> dict[str, Any] | None:
    """Send a program to its process. What it says of `names`; None when it did not load, and the evidence says why."""
    request = {
        "program": program,
        "names": names,
        "classes": classes,
        "main": main,
        "alone": alone,
        "preload": sorted(set(HEAVY.findall(program))),  # not charged: this runs before the program's first line
        "limit": run.limit,
    }
    evidence, started = run.evidence, False
    try:
        reply = run.ask(request)  # until this answer nothing of the program has run
        if "uncompiled" in reply:
            evidence.uncompiled, evidence.detail = True, ": ".join(reply["uncompiled"])
            evidence.starved = reply["uncompiled"][0] == "MemoryError"
            return None
        started = True
        evidence.start_cpu = float(reply["ready"])
        reply = {} if main else run.expect()
        if "raised" in reply:
            _note(evidence, *reply["raised"][:4])
            return None
        return dict(reply.get("names", {}))
    except Gone:
        if not started and evidence.errors.startswith(UNCONFINED.encode()):
            evidence.broken = bytes(evidence.errors[:300]).decode(errors="replace")
        return None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        run.stop("violation", f"the program wrote to the result channel: {error}")
        return None


def _note(evidence: Evidence, names: list[str], text: str, line: int, number: int) -> None:
    """The exception that ended loading."""
    evidence.raised = bare(str(names[0]))
    evidence.starved, evidence.full = "MemoryError" in names, number in _FULL
    evidence.detail = f"line {line}: {evidence.raised}: {text}"[:500]
