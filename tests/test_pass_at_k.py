from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.errors import UserError
from rrtf.evaluation.pass_at_k import pass_at_k


@pytest.mark.parametrize("n", range(1, 9))
def test_exact_against_the_binomial_and_against_counting_for_every_n_to_eight(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            exact = 1 - Fraction(comb(n - c, k), comb(n, k))
            draws = list(combinations(range(n), k))
            assert exact == Fraction(sum(any(i < c for i in draw) for draw in draws), len(draws))
            assert pass_at_k(n, c, k) == float(exact)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_the_nearest_float_also_at_the_papers_two_hundred_samples(case):
    n, c, k = case
    assert pass_at_k(n, c, k) == float(1 - Fraction(comb(n - c, k), comb(n, k)))
    product = 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
    assert pass_at_k(n, c, k) == pytest.approx(product, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1), st.integers(1, n - 1))))
def test_more_correct_samples_or_a_larger_k_never_hurt(case):
    n, c, k = case
    assert pass_at_k(n, c + 1, k) >= pass_at_k(n, c, k)
    assert pass_at_k(n, c, k + 1) >= pass_at_k(n, c, k)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 6), (5, 2, 0), (0, 0, 1)])
def test_a_k_the_samples_cannot_answer_is_an_error_in_words(n, c, k):
    with pytest.raises(UserError, match=rf"pass@{k} needs at least .* there are {n}"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(("n", "c"), [(5, 6), (5, -1)])
def test_impossible_counts_are_refused(n, c):
    with pytest.raises(UserError, match="impossible"):
        pass_at_k(n, c, 1)
