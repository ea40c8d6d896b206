"""Rank the judged responses to one problem: test outcome and teacher preference become one reward each (paper, section 3.2).

The paper's rules: outcomes score "from low to high", in a tie the teacher's sample ranks higher, and data whose teacher scores
below the student is filtered out. The score values and the size of the tie bonus are not published; both are settings.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from rrtf.records import Candidate, Group, Judged, Outcome, Problem, RankedResponse, Role, Verdict

RANK_VERSION = "1"


class Policy(str, Enum):
    """Whose feedback orders the responses: the paper's mix, either half of it, or chance (a control)."""

    tests_and_teacher = "tests_and_teacher"
    tests_only = "tests_only"
    teacher_only = "teacher_only"
    shuffled = "shuffled"


def _ladder() -> dict[str, float]:
    # The paper orders four classes and publishes no values. These are RLTF's (which the paper cites): compile error -1,
    # runtime error -0.6, failed tests -0.3, all passed +1. Partial passes get the middle of RLTF's -0.3 + 1.3 x share.
    return {
        "no_code": -1.0,
        "compile_error": -1.0,
        "runtime_error": -0.6,
        "timeout": -0.6,
        "memory_limit": -0.6,
        "output_limit": -0.6,
        "no_test_passed": -0.3,
        "some_tests_passed": 0.35,
        "all_tests_passed": 1.0,
    }


@dataclass(kw_only=True)
class Ranking:
    """How outcomes and authorship become rewards."""

    # the paper's own policy (section 3.2)
    policy: Policy = Policy.tests_and_teacher
    # outcome -> score; see _ladder for the source of each value
    scores: dict[str, float] = field(default_factory=_ladder)
    # score a partial pass as -0.3 + 1.3 x (share of tests passed), RLTF's finer rule; the paper has one class, hence off
    partial_by_share: bool = False
    # "the sample from the teacher is always assigned a higher rank" in a tie (section 3.2)
    teacher_wins_ties: bool = True
    # not in the paper; chosen to be a third of the smallest step of the ladder, so it orders a tie and changes nothing else
    tie_bonus: float = 0.1
    # "we filter out data where the teacher's score is lower than the student's" (section 3.2)
    drop_teacher_below_student: bool = True
    # not in the paper; the same text twice in a group only doubles its weight
    drop_duplicates: bool = True
    # not in the paper (it trains on one pair); six candidates is what the training engine's batches are measured at
    responses_per_problem: int = 6
    # shrink score gaps by the mean agreement of voted tests; tests written by people have full confidence
    use_confidence: bool = True

    def mistakes(self) -> list[str]:
        """Everything wrong with these values, in words."""
        found = []
        known = {outcome.value for outcome in Outcome} - {Outcome.judge_error.value}
        if missing := sorted(known - set(self.scores)):
            found.append(f"ranking.scores: no score for {', '.join(missing)}")
        if unknown := sorted(set(self.scores) - known):
            found.append(f"ranking.scores: {', '.join(unknown)} is not an outcome to score ({', '.join(sorted(known))} are)")
        if self.tie_bonus <= 0 and self.teacher_wins_ties:
            found.append(f"ranking.tie_bonus: {self.tie_bonus} must be above 0, or set ranking.teacher_wins_ties=false")
        if self.responses_per_problem < 2:
            found.append(f"ranking.responses_per_problem: {self.responses_per_problem} leaves nothing to rank; the least is 2")
        return found


class _Scored(NamedTuple):
    """A judged candidate, the text the trainer scores for it, and its reward so far."""

    candidate: Candidate
    verdict: Verdict
    text: str
    reward: float


def rank(
    problem: Problem,
    judged: Sequence[Judged],
    ranking: Ranking,
    *,
    prompt: str,
    completion: Callable[[str], str],
    seed: int,
) -> Group:
    """The ranked group of one problem, best first, its target (what cross-entropy trains on) marked.

    `prompt` is the student's own rendering of the problem; `completion` turns a program into the text the student would
    write for it. Candidates the judge could not judge are left out. A group that is not trained on keeps its responses and
    says why in `dropped`. Teachers are preferred in the order they come in.
    """
    scored = _scored(problem, judged, ranking, completion)
    roles = {item.candidate.role for item in scored}
    if len(scored) < 2:
        dropped = "fewer than two different responses"
    elif ranking.policy is not Policy.tests_only and Role.teacher not in roles:
        dropped = "no teacher response"
    elif _teacher_below_student(scored) and ranking.drop_teacher_below_student and ranking.policy is Policy.tests_and_teacher:
        dropped = "teacher scores below the student"
    else:
        dropped = ""
    rewarded = _rewarded(scored, ranking, seed=_seed(problem.task_id, seed))
    chosen = _spread(rewarded, ranking.responses_per_problem)
    responses = tuple(
        RankedResponse(
            source=item.candidate.source,
            role=item.candidate.role,
            text=item.text,
            reward=item.reward,
            outcome=item.verdict.outcome,
            target=place == 0,
        )
        for place, item in enumerate(chosen)
    )
    return Group(task_id=problem.task_id, prompt=prompt, responses=responses, dropped=dropped)


def _scored(problem: Problem, judged: Sequence[Judged], ranking: Ranking, completion: Callable[[str], str]) -> list[_Scored]:
    """Every usable candidate with its test score, teachers first, duplicates gone."""
    confidence = problem.tests.confidence
    trust = sum(confidence) / len(confidence) if confidence and ranking.use_confidence else 1.0
    items = []
    seen: set[str] = set()
    for row in sorted(judged, key=lambda row: row.candidate.role is not Role.teacher):
        text = completion(row.candidate.program) if row.candidate.program else row.candidate.response
        if row.verdict.outcome is Outcome.judge_error or not text or (ranking.drop_duplicates and text in seen):
            continue
        seen.add(text)
        items.append(_Scored(row.candidate, row.verdict, text, trust * _score(row.verdict, ranking)))
    return items


def _score(verdict: Verdict, ranking: Ranking) -> float:
    if ranking.partial_by_share and verdict.outcome is Outcome.some_tests_passed:
        return -0.3 + 1.3 * verdict.passed / verdict.total  # RLTF's adaptive feedback
    return ranking.scores[verdict.outcome.value]


def _best(scored: Iterable[_Scored], role: Role) -> float | None:
    return max((item.reward for item in scored if item.candidate.role is role), default=None)


def _teacher_below_student(scored: Sequence[_Scored]) -> bool:
    teacher, student = _best(scored, Role.teacher), _best(scored, Role.student)
    return teacher is not None and student is not None and teacher < student


def _rewarded(scored: Sequence[_Scored], ranking: Ranking, *, seed: int) -> list[_Scored]:
    """The policy applied to test scores; sorted best first, stable, so earlier teachers win what is still equal."""
    if ranking.policy is Policy.teacher_only:
        rewarded = [item._replace(reward=float(item.candidate.role is Role.teacher)) for item in scored]
    elif ranking.policy is Policy.tests_only or not ranking.teacher_wins_ties:
        rewarded = list(scored)
    else:
        rewarded = _prefer_teachers(scored, ranking.tie_bonus)
    if ranking.policy is Policy.shuffled:
        rewards = [item.reward for item in rewarded]
        random.Random(seed).shuffle(rewards)
        rewarded = [item._replace(reward=reward) for item, reward in zip(rewarded, rewards, strict=True)]
    return sorted(rewarded, key=lambda item: -item.reward)


def _prefer_teachers(scored: Sequence[_Scored], bonus: float) -> list[_Scored]:
    """Lift each teacher by the bonus, but never past half the way to the next higher score: ties break, order stays."""
    levels = sorted({item.reward for item in scored})
    gap_above = {low: high - low for low, high in zip(levels, levels[1:], strict=False)}
    return [
        item._replace(reward=item.reward + min(bonus, gap_above.get(item.reward, 2 * bonus) / 2))
        if item.candidate.role is Role.teacher
        else item
        for item in scored
    ]


def _spread(rewarded: Sequence[_Scored], keep: int) -> list[_Scored]:
    """At most `keep` responses: the best one, then one of each reward level in turn, so that every gap stays represented."""
    levels: dict[float, list[_Scored]] = {}
    for item in rewarded:
        levels.setdefault(item.reward, []).append(item)
    chosen: list[_Scored] = []
    while levels and len(chosen) < keep:
        for reward in list(levels):
            chosen.append(levels[reward].pop(0))
            if not levels[reward]:
                del levels[reward]
    return sorted(chosen[:keep], key=lambda item: -item.reward)


def _seed(task_id: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{task_id}".encode()).digest()[:8], "big")


@dataclass(frozen=True, kw_only=True)
class RankingSummary:
    """What a policy does to the data: group counts, reasons, who the target is, and the score gaps that weigh the hinge."""

    kept: int
    dropped: dict[str, int]
    targets: dict[str, int]
    pairs: int
    mean_gap: float
    least_gap: float
    most_gap: float
    target_passes: int


def summarize(groups: Sequence[Group]) -> RankingSummary:
    """Count what ranking did. A pair is two responses of one kept group with different rewards."""
    kept = [group for group in groups if not group.dropped]
    gaps = [
        better.reward - worse.reward
        for group in kept
        for place, better in enumerate(group.responses)
        for worse in group.responses[place + 1 :]
        if better.reward > worse.reward
    ]
    targets = [response for group in kept for response in group.responses if response.target]
    return RankingSummary(
        kept=len(kept),
        dropped=dict(Counter(group.dropped for group in groups if group.dropped).most_common()),
        targets=dict(Counter(response.source for response in targets).most_common()),
        pairs=len(gaps),
        mean_gap=sum(gaps) / len(gaps) if gaps else 0.0,
        least_gap=min(gaps, default=0.0),
        most_gap=max(gaps, default=0.0),
        target_passes=sum(response.outcome is Outcome.all_tests_passed for response in targets),
    )
