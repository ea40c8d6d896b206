"""Agreement with the original, on answers small enough to check by hand."""

import pytest

from rrtf.errors import UserError
from rrtf.quantize.agreement import agree
from rrtf.records import Candidate, Judged, Outcome, Role, Verdict


def answer(task: str, response: str, passed: bool, *, source: str, sample: int = 0) -> Judged:
    candidate = Candidate(
        task_id=task, source=source, role=Role.student, sample=sample, temperature=0.0, seed=0, prompt="p", response=response,
        program=response,
    )  # fmt: skip
    outcome = Outcome.all_tests_passed if passed else Outcome.no_test_passed
    return Judged(candidate=candidate, verdict=Verdict(task_id=task, outcome=outcome, passed=int(passed), total=1))


def encode(text: str) -> list[int]:
    return list(text.encode())


def both(first: list[tuple[str, bool]], second: list[tuple[str, bool]]) -> tuple[list[Judged], list[Judged]]:
    return (
        [answer(f"t{i}", text, passed, source="original") for i, (text, passed) in enumerate(first)],
        [answer(f"t{i}", text, passed, source="int8") for i, (text, passed) in enumerate(second)],
    )


SCORES = {f"t{i}": [-1.0, -2.0] for i in range(4)}


def test_the_numbers_are_those_of_the_hand() -> None:
    original, small = both(
        [("same", True), ("abcd", True), ("xy", False), ("ab", False)],
        [("same", True), ("abXd", False), ("Xy", True), ("abc", False)],
    )
    drifted = SCORES | {"t0": [-1.5, -2.0], "t1": [-1.0, -1.9]}
    found = agree(original, small, original_scores=SCORES, small_scores=drifted, encode=encode)
    assert (found.name, found.original, found.problems, found.tokens) == ("int8", "original", 4, 8)
    assert found.drift == pytest.approx((-0.5 + 0.1) / 8) and found.drift_size == pytest.approx(0.6 / 8)
    assert found.same_text == 0.25
    assert found.first_difference == 2  # of 2 (c, X), 0 (x, X) and 2 (the end, c)
    assert found.gained == ("t2",) and found.lost == ("t1",)
    assert found.effect == 0 and found.p == 1 and "within noise" in found.sentence


def test_a_format_that_changes_nothing_agrees_wholly() -> None:
    original, small = both([("a", True), ("b", False)], [("a", True), ("b", False)])
    scores = {"t0": [-1.0], "t1": [-0.5]}
    found = agree(original, small, original_scores=scores, small_scores=scores, encode=encode)
    assert (found.drift, found.drift_size, found.same_text, found.first_difference) == (0, 0, 1, -1)
    assert found.gained == found.lost == ()


def test_a_loss_beyond_noise_is_called_worse() -> None:
    texts = [(str(i), True) for i in range(12)]
    original, small = both(texts, [(text, False) for text, _ in texts])
    scores = {f"t{i}": [-1.0] for i in range(12)}
    found = agree(original, small, original_scores=scores, small_scores=scores, encode=encode)
    assert len(found.lost) == 12 and found.p < 0.001 and "worse" in found.sentence


def test_what_can_not_be_compared_is_an_error() -> None:
    original, small = both([("a", True), ("b", True)], [("a", True), ("b", True)])
    scores = {"t0": [-1.0], "t1": [-1.0]}
    with pytest.raises(UserError, match="tokenizers differ"):
        agree(original, small, original_scores=scores, small_scores=scores | {"t1": [-1.0, -2.0]}, encode=encode)
    with pytest.raises(UserError, match="different answers"):
        agree(original, small, original_scores=scores, small_scores={"t0": [-1.0]}, encode=encode)
    with pytest.raises(UserError, match="same problems"):
        agree(original, small[:1], original_scores=scores, small_scores=scores, encode=encode)
    with pytest.raises(UserError, match="every answer is empty"):
        agree(original, small, original_scores={}, small_scores={}, encode=encode)
    twice = [*original, answer("t0", "c", True, source="original", sample=1)]
    with pytest.raises(UserError, match="one a problem"):
        agree(twice, small, original_scores=scores, small_scores=scores, encode=encode)
    with pytest.raises(UserError, match="there are none"):
        agree([], [], original_scores={}, small_scores={}, encode=encode)
