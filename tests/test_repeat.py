"""The same run twice, with nothing kept in between, leaves the same bytes: all but the times it took."""

import json
from dataclasses import replace
from pathlib import Path

import tiny_models
from test_run import heldout, run, settings

from rrtf.evaluation.settings import Protocol, ProtocolKind

# what a clock or the machine decides
MEASURED = {"cpu_seconds", "wall_seconds", "peak_mb"}


def artifacts(store: Path) -> dict[str, str]:
    """Each file of rows by its name, which is the digest of all that made it, without what was measured."""
    found = {}
    for path in sorted(store.glob("*/*.jsonl")):
        if path.parent.name != "cache":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for row in rows:
                row["verdict"] = {key: value for key, value in row.get("verdict", {}).items() if key not in MEASURED}
            found[f"{path.parent.name}/{path.name}"] = json.dumps(rows)
    return found


def test_two_runs_in_empty_stores_leave_the_same_bytes(tmp_path: Path) -> None:
    config = tiny_models.save(tmp_path / "student") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    warm = Protocol(kind=ProtocolKind.samples, n=3, temperature=1.2, max_new_tokens=6, ks=[1, 2])
    benchmarks = {"greedy": heldout(), "warm": replace(heldout(), protocol=warm)}
    first, second = (
        settings(tmp_path, benchmarks=benchmarks, store=str(tmp_path / name), run_dir=str(tmp_path / f"run-{name}"))
        for name in ("one", "two")
    )
    (row, _), (again, _) = run(first), run(second)
    assert len(artifacts(tmp_path / "one")) >= 5
    assert artifacts(tmp_path / "one") == artifacts(tmp_path / "two")
    assert (row.scores, row.comparisons, row.solved, row.digests) == (
        again.scores,
        again.comparisons,
        again.solved,
        again.digests,
    )
