import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rrtf.errors import UserError
from rrtf.evaluation.comparison import compare, mcnemar, randomization_p, shown_p
from rrtf.evaluation.pass_at_k import pass_at_k
from rrtf.evaluation.power import power_sentence, smallest_difference
from rrtf.evaluation.statistics import bootstrap, interval, resampled_means, wilson


@settings(deadline=None)
@given(st.integers(1, 600).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case):
    solved, problems = case
    theirs = stats.binomtest(solved, problems).proportion_ci(method="wilson")
    ours = wilson(solved, problems)
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)
    assert ours.low <= solved / problems <= ours.high


def test_the_papers_headline_carries_seven_points_of_doubt():
    low, high, method = wilson(102, 164)
    assert (round(low, 3), round(high, 3), method) == (0.546, 0.693, "wilson")


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_bootstrap_agrees_with_scipys_percentile_bootstrap():
    rng = np.random.default_rng(7)
    numbers = [pass_at_k(20, int(c), 5) for c in rng.integers(0, 21, size=164)]
    theirs = stats.bootstrap((numbers,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    ours = bootstrap(numbers)
    assert ours.low == pytest.approx(theirs.low, abs=4e-3)
    assert ours.high == pytest.approx(theirs.high, abs=4e-3)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=40))
@settings(deadline=None, max_examples=25)
def test_an_interval_holds_its_value_stays_in_bounds_and_ignores_the_order_of_problems(correct):
    numbers = [pass_at_k(10, c, 3) for c in correct]
    ends = interval(numbers)
    assert 0 <= ends.low <= np.mean(numbers) + 1e-12
    assert np.mean(numbers) - 1e-12 <= ends.high <= 1
    assert interval(list(reversed(numbers))) == ends
    assert ends.high > ends.low


def test_nothing_solved_is_not_a_certainty():
    assert interval([0.0] * 164).high == pytest.approx(wilson(0, 164).high)
    assert bootstrap([0.5] * 164).low < 0.45


def test_the_fixed_seed_repeats_and_another_hardly_matters():
    numbers = [pass_at_k(10, c % 11, 2) for c in range(164)]
    assert bootstrap(numbers) == bootstrap(numbers)
    other = bootstrap(numbers, seed=1)
    assert other != bootstrap(numbers)
    assert other.low == pytest.approx(bootstrap(numbers).low, abs=4e-3)


def test_samples_of_one_problem_are_not_counted_as_independent():
    """Ten problems, each all right or all wrong in 100 samples: the interval is that of ten results, not of a thousand."""
    ends = interval([pass_at_k(100, c, 1) for c in [100] * 5 + [0] * 5])
    assert ends == wilson(5, 10)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hit = {"wilson": 0, "bootstrap": 0}
    for _ in range(120):
        chance = rng.beta(0.5, 1.5, size=164)
        low, high, _ = wilson(int(np.sum(rng.random(164) < chance)), 164)
        hit["wilson"] += low <= 0.25 <= high
        low, high, _ = bootstrap((rng.binomial(10, chance) / 10).tolist())
        hit["bootstrap"] += low <= 0.25 <= high
    assert all(count / 120 > 0.88 for count in hit.values()), hit


@pytest.mark.parametrize(("problems", "samples"), [(20, 200), (60, 200), (60, 10)])
def test_intervals_cover_the_truth_also_where_hardly_any_problem_is_solved(problems, samples):
    """One problem in fifty is easy, the others are not solved at all or nearly never: what was not drawn counts, too."""
    rng, hit = np.random.default_rng(0), 0
    for _ in range(100):
        low, high, _ = interval((rng.binomial(samples, rng.beta(0.01, 0.5, size=problems)) / samples).tolist())
        hit += low <= 0.01 / 0.51 <= high
    assert hit >= 90, hit


def test_one_right_answer_in_thousands_is_no_surer_than_none():
    none, one = interval([0.0] * 164), interval([0.005] + [0.0] * 163)
    assert one.low == 0 and one.high >= none.high


def test_the_counted_resampling_is_the_plain_one():
    numbers = np.array([0.0, 0.0, 0.25, 1.0, 1.0, 0.5])
    plain = np.random.default_rng(3).choice(numbers, size=(10_000, 6)).mean(axis=1)
    assert stats.ks_2samp(plain, resampled_means(numbers.tolist())).statistic < 0.03


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_comparison_is_antisymmetric_and_p_does_not_care_who_is_first(pairs):
    first = {str(i): float(a) for i, (a, _) in enumerate(pairs)}
    second = {str(i): float(b) for i, (_, b) in enumerate(pairs)}
    there, back = compare(first, second), compare(second, first)
    assert there.effect == -back.effect
    assert there.p == back.p
    assert (there.gained, there.lost) == (back.lost, back.gained)
    assert there.low <= there.effect <= there.high


def test_the_randomization_test_contains_mcnemars():
    differences = [1.0] * 14 + [-1.0] * 4 + [0.0] * 100
    assert randomization_p(differences) == pytest.approx(mcnemar(14, 4), abs=5e-3)


def test_comparing_a_run_with_itself_is_noise():
    run = {str(i): float(i % 3 == 0) for i in range(50)}
    result = compare(run, run)
    assert (result.effect, result.p, result.gained) == (0.0, 1.0, 0)
    assert "within noise" in result.sentence
    assert -0.1 < result.low < 0 < result.high < 0.1, "no difference seen is not no difference possible"


def test_sentences_name_the_winner_or_say_noise():
    base = {str(i): 0.0 for i in range(164)}
    up = {**base, **{str(i): 1.0 for i in range(20)}}
    assert "B is better than A, p < 0.0001 (+12.2 points" in compare(base, up).sentence
    assert "worse" in compare(up, base).sentence
    one = compare(base, {**base, "0": 1.0}).sentence
    assert "within noise" in one and "1 problem gained, 0 lost" in one


def test_the_p_value_of_sampled_scores_is_calibrated():
    """Under no difference p is below 0.05 in about one comparison of twenty."""
    rng = np.random.default_rng(5)
    false_alarms = 0
    for _ in range(120):
        chance = rng.beta(0.5, 1.5, size=60)
        a, b = (rng.binomial(5, chance) / 5 for _ in range(2))
        names = [str(i) for i in range(60)]
        result = compare(dict(zip(names, a.tolist(), strict=True)), dict(zip(names, b.tolist(), strict=True)))
        false_alarms += result.p < 0.05
    assert 1 <= false_alarms <= 14, false_alarms


@pytest.mark.parametrize("problems", [6, 12, 164])
def test_the_interval_holds_no_difference_just_where_p_does(problems):
    """Also where the bootstrap alone would not: five problems gained and none lost is p = 0.06."""
    for gained in range(min(problems, 15)):
        for lost in range(max(0, gained - 9), min(gained + 1, problems - gained + 1)):
            first = {str(i): float(gained <= i < gained + lost) for i in range(problems)}
            found = compare(first, {str(i): float(i < gained) for i in range(problems)})
            assert (found.low <= 0 <= found.high) == (found.p >= 0.05), found
            assert found.low <= found.effect <= found.high


def test_the_interval_of_sampled_scores_holds_no_difference_where_p_does():
    rng = np.random.default_rng(0)
    for _ in range(60):
        chance = rng.beta(0.3, 1, size=30)
        first, second = (rng.binomial(10, p) / 10 for p in (chance, np.clip(chance + 0.05, 0, 1)))
        found = compare(*({str(i): float(value) for i, value in enumerate(run)} for run in (first, second)))
        assert found.p < 0.05 or found.low <= 0 <= found.high, found


def test_one_problem_gained_leaves_as_much_doubt_as_none():
    base = {str(i): 0.0 for i in range(164)}
    same, one = compare(base, base), compare(base, base | {"0": 1.0})
    assert same.high == pytest.approx(wilson(0, 164).high) and same.low == -same.high
    assert one.low < -0.015 and one.high == pytest.approx(wilson(1, 164).high)


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (1.0, "p = 1"),
        (0.0499, "p = 0.0499"),
        (0.049995, "p = 0.04999"),
        (0.05, "p = 0.05"),
        (0.0502, "p = 0.0502"),
        (0.051, "p = 0.051"),
    ]
    + [(1e-4, "p = 0.0001"), (1e-9, "p < 0.0001")],
)
def test_p_is_rounded_to_its_own_side_of_what_counts(p, said):
    assert shown_p(p) == said


def test_different_problems_are_refused_and_named():
    with pytest.raises(UserError, match=r"same problems in both runs: 1 only in A \(x\); 1 only in B \(y\)"):
        compare({"x": 1.0, "z": 1.0}, {"y": 1.0, "z": 0.0})
    with pytest.raises(UserError, match="no problems"):
        compare({}, {})


@pytest.mark.parametrize(
    ("problems", "discordant"), [(164, 0.0), (164, 0.1), (164, 0.4), (500, 0.2), (50, 0.3), (54, 0.5), (20, 0.0)]
)
def test_the_promised_power_is_found_by_simulation(problems, discordant):
    """The share of simulated comparisons in which exact McNemar says p < 0.05 at the promised difference is near 80 %."""
    difference = smallest_difference(problems, discordant=discordant)
    share = max(discordant, difference)
    totals, rng = np.random.default_rng(0).binomial(problems, share, size=2000), np.random.default_rng(1)
    gained = rng.binomial(totals, (share + difference) / 2 / share)
    found = np.mean(stats.binom.cdf(np.minimum(gained, totals - gained), totals, 0.5) * 2 < 0.05)
    assert 0.77 < found < 0.84


def test_the_smallest_difference_shrinks_with_problems_and_is_never_more_than_everything():
    sizes = [smallest_difference(n, discordant=0.3) for n in (10, 50, 164, 500, 5000)]
    assert sizes == sorted(sizes, reverse=True)
    assert smallest_difference(3, discordant=0.0) == 1.0
    assert power_sentence(4, value=0.0).startswith("4 problems are too few")
    assert "164 problems at 6.1 % can show a difference of 7." in power_sentence(164, value=10 / 164)
