"""judge=ray on a real cluster of two nodes on this machine: the local verdicts, also when a node is lost on the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Engine, Judge
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet

ray = pytest.importorskip("ray", reason="needs rrtf[ray]")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and log files to the garbage collector, and forks where threads run
    pytest.mark.filterwarnings("ignore"),
]
LOCAL = Judge(workers=1, time_limit=1.0)


def jobs() -> list[Job]:
    """Right, wrong, broken and endless programs of many problems."""
    problems = list(load(ProblemSet(split="train", limit=40)))
    found = []
    for problem in problems:
        name = problem.entry_point
        found.append(Job(problem, problem.reference))
        found += [Job(problem, f"def {name}(*given):\n    return {value}\n") for value in range(8)]
        found.append(Job(problem, f"def {name}(*given:\n"))
    return [*found, Job(problems[0], f"def {problems[0].entry_point}(*given):\n    while True: pass\n"), Job(problems[1], "")]


def test_two_nodes_give_the_local_verdicts_and_one_lost_costs_nothing(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    work = jobs()
    expected = [(v.task_id, v.outcome, v.passed, v.total) for v in judge(work, LOCAL)]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        found = []
        for verdict in judge(work, replace(LOCAL, engine=Engine.ray), cache=tmp_path / "verdicts.jsonl"):
            if len(found) == 100:
                cluster.remove_node(second, allow_graceful=False)
            found.append((verdict.task_id, verdict.outcome, verdict.passed, verdict.total))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert found == expected
    rows = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert len(rows) == len({(job.problem.task_id, job.program) for job in work if job.program})
