"""Ranking: a total preorder, the teacher only breaks ties, every outcome scores, chance depends on the seed alone."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.rank import Policy, Ranking, rank, summarize
from rrtf.records import Candidate, Group, Judged, Outcome, Problem, Role, TestKind, Tests, Verdict

PROBLEM = Problem(task_id="t/1", text="", tests=Tests(kind=TestKind.asserts, asserts=("assert True",)))
SCORABLE = [outcome for outcome in Outcome if outcome is not Outcome.judge_error]


def judged(role: Role, outcome: Outcome, sample: int = 0, *, program: str | None = None, passed: int = 1) -> Judged:
    name = f"the {role.value}"
    candidate = Candidate(
        task_id="t/1", source=name, role=role, sample=sample, temperature=0.0, seed=0, prompt="p", response="r",
        program=f"{role.value} {sample}" if program is None else program,
    )  # fmt: skip
    return Judged(candidate=candidate, verdict=Verdict(task_id="t/1", outcome=outcome, passed=passed, total=4))


def ranked(rows: list[Judged], ranking: Ranking | None = None, *, problem: Problem = PROBLEM, seed: int = 0) -> Group:
    return rank(problem, rows, ranking or Ranking(), prompt="p", completion=lambda program: program + "\n```", seed=seed)


rows = st.lists(
    st.tuples(st.sampled_from(list(Role)), st.sampled_from(SCORABLE), st.integers(1, 3)), min_size=2, max_size=12
).map(lambda items: [judged(role, outcome, i, passed=passed) for i, (role, outcome, passed) in enumerate(items)])


@given(rows, st.booleans())
def test_teacher_preference_only_breaks_ties(items: list[Judged], by_share: bool) -> None:
    plain = Ranking(policy=Policy.tests_only, responses_per_problem=99, partial_by_share=by_share)
    paper = Ranking(responses_per_problem=99, partial_by_share=by_share)
    score = {r.text: r.reward for r in ranked(items, plain).responses}
    with_teacher = ranked(items, paper).responses
    for better, worse in itertools.combinations(with_teacher, 2):
        assert score[better.text] >= score[worse.text]
        if score[better.text] > score[worse.text]:
            assert better.reward > worse.reward
        elif better.role is not worse.role:
            assert better.role is Role.teacher and better.reward > worse.reward
        else:
            assert better.reward == worse.reward


@given(rows)
def test_one_target_and_it_is_the_best(items: list[Judged]) -> None:
    for policy in Policy:
        responses = ranked(items, Ranking(policy=policy)).responses
        assert [r.target for r in responses] == [True] + [False] * (len(responses) - 1)
        assert responses[0].reward == max(r.reward for r in responses)


@pytest.mark.parametrize("outcome", SCORABLE)
def test_every_outcome_has_a_score(outcome: Outcome) -> None:
    group = ranked([judged(Role.teacher, Outcome.all_tests_passed), judged(Role.student, outcome)])
    assert not group.dropped and len(group.responses) == 2


def test_the_ladder_is_ordered_as_the_paper_says() -> None:
    scores = Ranking().scores
    assert scores["compile_error"] < scores["runtime_error"] < scores["some_tests_passed"] < scores["all_tests_passed"]
    assert scores["runtime_error"] < scores["no_test_passed"] < scores["some_tests_passed"]


def test_a_group_whose_teacher_scores_below_the_student_is_dropped_unless_switched_off() -> None:
    items = [judged(Role.teacher, Outcome.some_tests_passed), judged(Role.student, Outcome.all_tests_passed)]
    assert ranked(items).dropped == "teacher scores below the student"
    assert ranked(items, Ranking(drop_teacher_below_student=False)).dropped == ""
    assert ranked(items, Ranking(policy=Policy.teacher_only)).responses[0].role is Role.teacher


def test_a_judge_error_is_never_ranked() -> None:
    items = [judged(Role.teacher, Outcome.all_tests_passed), judged(Role.student, Outcome.judge_error)]
    assert ranked(items).dropped == "fewer than two different responses"


def test_duplicates_count_once_and_belong_to_the_teacher() -> None:
    items = [judged(Role.student, Outcome.all_tests_passed, i, program="same") for i in range(3)]
    items += [judged(Role.teacher, Outcome.all_tests_passed, program="same"), judged(Role.student, Outcome.timeout, 9)]
    responses = ranked(items).responses
    assert [r.role for r in responses] == [Role.teacher, Role.student]
    assert len(ranked(items, Ranking(drop_duplicates=False)).responses) == 5


def test_the_cap_keeps_every_reward_level() -> None:
    items = [judged(Role.student, Outcome.compile_error, i) for i in range(20)]
    items += [judged(Role.teacher, Outcome.all_tests_passed), judged(Role.student, Outcome.timeout, 99)]
    kept = ranked(items, Ranking(responses_per_problem=4)).responses
    assert [r.outcome.value for r in kept] == ["all_tests_passed", "timeout", "compile_error", "compile_error"]


def test_shuffled_depends_on_the_seed_alone_and_keeps_the_rewards() -> None:
    items = [judged(Role.student, outcome, i) for i, outcome in enumerate(SCORABLE)] + [judged(Role.teacher, SCORABLE[-1], 77)]
    shuffled = Ranking(policy=Policy.shuffled, responses_per_problem=99)
    assert ranked(items, shuffled, seed=1) == ranked(items, shuffled, seed=1)
    orders = {tuple(r.text for r in ranked(items, shuffled, seed=seed).responses) for seed in range(8)}
    assert len(orders) > 4
    true = ranked(items, Ranking(responses_per_problem=99)).responses
    assert sorted(r.reward for r in ranked(items, shuffled).responses) == sorted(r.reward for r in true)


def test_low_agreement_of_voted_tests_shrinks_the_gaps() -> None:
    items = [judged(Role.teacher, Outcome.all_tests_passed), judged(Role.student, Outcome.runtime_error)]
    tests = dataclasses.replace(PROBLEM.tests, confidence=(0.5,))
    gap = [r.reward for r in ranked(items, problem=dataclasses.replace(PROBLEM, tests=tests)).responses]
    full = [r.reward for r in ranked(items).responses]
    assert gap[0] - gap[1] < 0.6 * (full[0] - full[1])


def test_all_mistakes_are_named_at_once() -> None:
    found = "\n".join(Ranking(scores={"passed": 1.0}, tie_bonus=0.0, responses_per_problem=1).mistakes())
    assert all(name in found for name in ("no score for all_tests_passed", "passed is not an", "tie_bonus", "least is 2"))
    assert Ranking().mistakes() == []


def test_the_summary_counts_pairs_and_reasons() -> None:
    kept = ranked([judged(Role.teacher, Outcome.all_tests_passed), judged(Role.student, Outcome.timeout)])
    lost = ranked([judged(Role.teacher, Outcome.timeout), judged(Role.student, Outcome.all_tests_passed)])
    summary = summarize([kept, lost])
    assert (summary.kept, summary.pairs, summary.target_passes) == (1, 1, 1)
    assert summary.dropped == {"teacher scores below the student": 1} and summary.targets == {"the teacher": 1}
    assert summary.mean_gap == pytest.approx(1.7)
