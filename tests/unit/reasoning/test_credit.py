"""What traces earn under each credit form: the table of the research, and the properties the default must have."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.reasoning.budget import BudgetReward, length_reward
from trainer.reasoning.credit import (
    CreditForm,
    CreditSettings,
    CreditTrace,
    returns,
    soft_minimum,
    step_rewards,
    step_tokens,
    token_rewards,
)

RIGHT_SHORT = ([0.95] * 2, 1.0)
WRONG_LONG = ([0.8] * 8, 0.0)
WRONG_VACUOUS = ([0.55] * 12, 0.0)
PAIRS = 1000
PAY_BY_THE_STEP = {CreditForm.SUM}

scores = st.lists(st.floats(0, 1), min_size=1, max_size=12)
weights = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda w: (min(w), max(w)))


def earned(trace, form, **more):
    return step_rewards(*trace, form, **more).earned


@pytest.mark.parametrize(
    ("form", "right", "long", "vacuous"),
    [
        (CreditForm.SUM, 1.27, 1.92, 1.98),
        (CreditForm.MIN, 0.985, 0.24, 0.165),
        (CreditForm.MEAN, 0.985, 0.24, 0.165),
        (CreditForm.LAST, 0.985, 0.24, 0.165),
        (CreditForm.CLIP, 0.7, 0.0, 0.0),
        (CreditForm.DELTA, 0.835, 0.09, 0.015),
    ],
)
def test_the_table(form, right, long, vacuous):
    table = [earned(trace, form) for trace in (RIGHT_SHORT, WRONG_LONG, WRONG_VACUOUS)]
    assert table == pytest.approx([right, long, vacuous], abs=1e-12)
    inverted = max(long, vacuous) > right
    assert inverted == (form is CreditForm.SUM)


def pairs():
    """1,000 pairs. Right: 1-4 steps with plausibly high scores, 0.6 to 1. Wrong: 5-20 steps more, any scores in
    [0, 1]: half of the pairs uniform, half "well liked" by the scorer, 0.8 to 1."""
    draw = random.Random(20)
    for i in range(PAIRS):
        right = [draw.uniform(0.6, 1) for _ in range(draw.randint(1, 4))]
        low = 0.8 if i % 2 else 0.0
        yield right, [draw.uniform(low, 1) for _ in range(len(right) + draw.randint(5, 20))]


def inversions(form):
    return sum(earned((wrong, 0.0), form) >= earned((right, 1.0), form) for right, wrong in pairs())


def test_no_wrong_and_long_trace_out_earns_a_right_and_short_one():
    assert inversions(CreditForm.MIN) == 0


def test_with_the_sum_it_does_and_the_form_warns():
    assert inversions(CreditForm.SUM) > PAIRS / 2
    assert "1.92" in CreditForm.SUM.warning
    assert "1.27" in CreditForm.SUM.warning
    assert CreditSettings(form=CreditForm.SUM).warnings == (CreditForm.SUM.warning,)
    assert CreditSettings(form=CreditForm.SUM, process_weight=0.0).warnings == (), "it pays nothing"
    assert CreditSettings().warnings == CreditSettings(process_weight=0.5, outcome_weight=0.5).warnings == ()


@given(right=scores, wrong=scores, weighed=weights, form=st.sampled_from([CreditForm.MIN, CreditForm.MEAN]))
def test_the_outcome_is_never_below_the_process(right, wrong, weighed, form):
    process, outcome = weighed
    weigh = {"process_weight": process, "outcome_weight": outcome}
    assert earned((right, 1.0), form, **weigh) >= earned((wrong, 0.0), form, **weigh) - 1e-12


@given(
    right=scores,
    wrong=scores,
    used=st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)),
    budget=st.integers(1, 32_000),
    rate=st.sampled_from([0.0, 0.0003, 0.01, 1.0]),
    form=st.sampled_from(BudgetReward),
)
def test_a_length_term_never_lifts_a_wrong_answer_above_a_right_one(right, wrong, used, budget, rate, form):
    paid = [length_reward(ok, n, budget, form, rate=rate) for ok, n in zip((True, False), used, strict=True)]
    assert paid[0] > paid[1]
    assert earned((right, paid[0]), CreditForm.MIN) > earned((wrong, paid[1]), CreditForm.MIN)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("form", CreditForm)
def test_every_form_equals_its_formula_in_loops(form, count):
    draw = random.Random(count)
    marks = [draw.random() for _ in range(count)]
    sizes = [draw.randint(1, 30) for _ in range(count)]
    total = sum(n * math.exp(-(2 * s - 1) / 0.1) for s, n in zip(marks, sizes, strict=True))
    expected = []
    for k, s in enumerate(marks):
        last = k == count - 1
        expected.append(
            {
                CreditForm.MIN: sizes[k] * math.exp(-(2 * s - 1) / 0.1) / total * (2 * s - 1) / 2,
                CreditForm.SUM: s,
                CreditForm.MEAN: (s - 0.5) / count,
                CreditForm.LAST: s - 0.5 if last else 0.0,
                CreditForm.CLIP: s - 0.6 if s < 0.6 else 0.0,
                CreditForm.DELTA: s - 0.5 if last else s - marks[k + 1],
                CreditForm.GROUP: s,
            }[form]
        )
    got = step_rewards(marks, 1.0, form, process_weight=0.4, outcome_weight=0.6, threshold=0.6, tokens=sizes)
    np.testing.assert_allclose(got.process, [0.4 * value for value in expected], atol=1e-12)
    assert got.outcome == pytest.approx(0.6)


@given(marks=scores, temperature=st.floats(0.0005, 2))
def test_the_soft_minimum_lies_between_the_minimum_and_the_mean(marks, temperature):
    values = np.array(marks)
    weighed = soft_minimum(values, np.ones(len(values)), temperature)
    assert weighed.sum() == pytest.approx(1)
    assert values.min() - 1e-12 <= float(weighed @ values) <= values.mean() + 1e-12


def test_at_a_low_temperature_it_is_the_minimum():
    values = np.array([0.9, 0.35, 0.6, 0.36])
    assert float(soft_minimum(values, np.array([40.0, 1.0, 40.0, 40.0]), 0.001) @ values) == pytest.approx(
        0.35, abs=1e-6
    )


@settings(max_examples=200)
@given(marks=scores, data=st.data(), outcome=st.sampled_from([0.0, 1.0]))
def test_splitting_a_step_at_equal_scores_changes_nothing_a_trace_earns(marks, data, outcome):
    sizes = data.draw(st.lists(st.integers(2, 40), min_size=len(marks), max_size=len(marks)))
    k = data.draw(st.integers(0, len(marks) - 1))
    first = data.draw(st.integers(1, sizes[k] - 1))
    whole = step_rewards(marks, outcome, tokens=sizes)
    parts = step_rewards(
        [*marks[:k], marks[k], marks[k], *marks[k + 1 :]],
        outcome,
        tokens=[*sizes[:k], first, sizes[k] - first, *sizes[k + 1 :]],
    )
    assert parts.earned == pytest.approx(whole.earned, abs=1e-9)
    np.testing.assert_allclose(parts.process[k : k + 2].sum(), whole.process[k], atol=1e-9)
    np.testing.assert_allclose(np.delete(parts.process, [k, k + 1]), np.delete(whole.process, k), atol=1e-9)


def test_a_repaired_and_an_unrepaired_trace_under_min():
    """`min` does not see a repair: the outcome alone tells the two apart, and a clean trace earns more than both."""
    clean, repaired, unrepaired = [0.9, 0.9, 0.9, 0.9], [0.9, 0.1, 0.9, 0.9], [0.9, 0.1, 0.9, 0.9]
    paid = [step_rewards(s, o) for s, o in ((clean, 1.0), (repaired, 1.0), (unrepaired, 0.0))]
    np.testing.assert_array_equal(paid[1].process, paid[2].process)
    assert paid[1].earned - paid[2].earned == pytest.approx(0.7)
    assert paid[0].earned == pytest.approx(0.97)
    assert paid[1].earned == pytest.approx(0.73, abs=1e-3)
    assert paid[2].earned == pytest.approx(0.03, abs=1e-3)
    to_go = returns(paid[1].process)
    assert to_go[:2] == pytest.approx([-0.12, -0.12], abs=1e-3)  # up to the slip, its own step included: blamed
    assert to_go[2:] == pytest.approx([0, 0], abs=1e-3)  # after it, the repair included: neither paid nor blamed


def test_a_repaired_trace_under_the_other_forms():
    """What the user trades: mean and last pay the repair, and last forgets the slip altogether."""
    repaired = ([0.9, 0.1, 0.9, 0.9], 1.0)
    assert earned(repaired, CreditForm.MEAN) == pytest.approx(0.3 * 0.7 + 0.7)
    assert earned(repaired, CreditForm.LAST) == pytest.approx(0.3 * 0.9 + 0.7)
    assert earned(repaired, CreditForm.CLIP) == pytest.approx(0.3 * -0.4 + 0.7)


@pytest.mark.parametrize("form", CreditForm)
def test_a_trace_without_steps_earns_what_one_step_scored_nought_does(form):
    assert earned(([], 1.0), form) == pytest.approx(earned(([0.0], 1.0), form))
    assert len(step_rewards([], 1.0, form).process) == 0


def test_an_undecided_outcome_is_not_a_wrong_one():
    assert step_rewards([0.5], None).undecided
    assert step_rewards([0.5], None).outcome == 0.0
    assert not step_rewards([0.5], 0.0).undecided
    assert [step_rewards([0.5], outcome).outcome for outcome in (-1.0, 1.0)] == [-0.7, 0.7]


def test_rewards_stand_at_step_ends_and_the_outcome_at_the_last_token():
    paid = token_rewards(step_rewards([0.2, 0.8], 1.0, CreditForm.SUM), [2, 5], 8)
    assert paid == pytest.approx([0, 0, 0.06, 0, 0, 0.24, 0, 0.7])
    assert returns(paid) == pytest.approx([1.0, 1.0, 1.0, 0.94, 0.94, 0.94, 0.7, 0.7])
    centred = step_rewards([0.2, 0.8], 1.0, CreditForm.MEAN)  # its offset is paid with the outcome
    assert token_rewards(centred, [2, 5], 8) == pytest.approx([0, 0, -0.045, 0, 0, 0.045, 0, 0.85])
    assert token_rewards(step_rewards([], 1.0), [], 0).shape == (0,)


@given(rewards=st.lists(st.floats(-2, 2), max_size=30), gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_returns_equal_the_sum_of_what_follows(rewards, gamma):
    expected = [sum(gamma ** (u - t) * rewards[u] for u in range(t, len(rewards))) for t in range(len(rewards))]
    np.testing.assert_allclose(returns(rewards, gamma), expected, atol=1e-9)


def test_a_step_owns_the_tokens_after_the_one_before_without_separators():
    apart = [0, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert step_tokens([2, 5, 8], 10, apart).tolist() == [3, 2, 1]
    assert step_tokens([2, 5, 8], 10).tolist() == [3, 3, 3]
    assert step_tokens([0, 1], 2, [1, 0]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: step_rewards([0.5, 1.2], 1.0), "step 1 is scored 1.2"),
        (lambda: step_rewards([0.0, 1.0, -0.1], 1.0), "step 2 is scored -0.1"),
        (lambda: step_rewards([math.nan], 1.0), "step 0 is scored nan"),
        (lambda: step_rewards([[0.5]], 1.0), "one number a step"),
        (lambda: step_rewards([0.5], 1.5), "outcome of 1.5"),
        (lambda: step_rewards([0.5], -1.5), "outcome of -1.5"),
        (lambda: step_rewards([0.5], math.nan), "outcome of nan"),
        (lambda: step_rewards([0.5, 0.5], 1.0, tokens=[1, 0]), "one positive number"),
        (lambda: step_rewards([0.5, 0.5], 1.0, tokens=[1]), "one positive number"),
        (lambda: step_rewards([0.5], 1.0, process_weight=-1), "weights of -1"),
        (lambda: step_rewards([0.5], 1.0, process_weight=math.inf), "weights of inf"),
        (lambda: CreditSettings(outcome_weight=math.nan), "and nan"),
        (lambda: CreditSettings(temperature=0), "temperature of 0"),
        (lambda: CreditTrace([0.5], 1.0, [-1], 4), "must rise and lie in 0..3"),
        (lambda: CreditTrace([0.5], 1.0, [4], 4), "must rise and lie in 0..3"),
        (lambda: CreditTrace([0.5, 0.5], 1.0, [2, 2], 4), "must rise"),
        (lambda: CreditTrace([0.5], 1.0, [1, 2], 4), "1 scores for 2 step ends"),
        (lambda: CreditTrace([0.5], 1.0, [1], 4, separators=[0]), "for 4 tokens"),
        (lambda: token_rewards(step_rewards([0.5], 1.0), [1, 2], 4), "1 process rewards for 2"),
    ],
)
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_weights_that_let_the_process_win_warn():
    assert "wrong answer" in CreditSettings(process_weight=0.8, outcome_weight=0.2).warnings[0]
    assert all(form.meaning for form in CreditForm)
