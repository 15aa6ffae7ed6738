"""Advantages by token of a group of traces, against loops, and the properties the default must have."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from trainer.reasoning.credit import (
    LEAST_SPREAD,
    TINY,
    Baseline,
    CreditForm,
    CreditSettings,
    CreditTrace,
    GroupScale,
    advantages,
)


def drawn(seed, count=4, undecided=False):
    """Traces of 1-6 steps of 1-9 tokens with a separator token after most steps and an answer of 2 tokens."""
    draw = random.Random(seed)
    traces = []
    for i in range(count):
        marks, ends, apart = [], [], []
        for _ in range(draw.randint(1, 6)):
            apart += [0] * draw.randint(1, 9)
            ends.append(len(apart) - 1)
            apart += [1] * draw.randint(0, 1)
            marks.append(draw.random())
        apart += [0, 0]
        outcome = None if undecided and i == 0 else float(draw.random() < 0.5)
        traces.append(CreditTrace(marks, outcome, ends, len(apart), apart, bonus=draw.uniform(-0.1, 0.1)))
    return traces


def by_hand(traces, settings):
    """The advantages once more in plain loops over tokens, steps and traces."""
    paid, sizes = [], []
    for trace in traces:
        owned, start = [], 0
        for end in trace.step_ends:
            owned.append(max(1, sum(1 for t in range(start, end + 1) if not trace.separators[t])))
            start = end + 1
        sizes.append(owned)
        p = [2 * s - 1 for s in trace.scores]
        z = sum(n * math.exp(-x / settings.temperature) for x, n in zip(p, owned, strict=True))
        paid.append(
            [
                {
                    CreditForm.MIN: owned[k] * math.exp(-p[k] / settings.temperature) / z * p[k] / 2,
                    CreditForm.SUM: trace.scores[k],
                    CreditForm.MEAN: p[k] / 2 / len(p),
                }[settings.form]
                * settings.process_weight
                for k in range(len(p))
            ]
        )
    result = []
    for i, trace in enumerate(traces):
        others = [j for j in range(len(traces)) if j != i]
        everyone = list(range(len(traces)))
        if settings.baseline is Baseline.OTHERS:
            rate = statistics.fmean(sum(paid[j]) for j in others) / sum(sizes[i])
        elif settings.baseline is Baseline.GROUP:
            rate = statistics.fmean(sum(paid[j]) for j in everyone) / sum(sizes[i])
        elif settings.baseline is Baseline.TOKENS:
            rate = statistics.fmean(sum(paid[j]) / sum(sizes[j]) for j in others)
        else:
            rate = 0.0
        compared = {Baseline.NONE: [], Baseline.GROUP: everyone}.get(settings.baseline, others)
        whole = trace.bonus - (statistics.fmean(traces[j].bonus for j in compared) if compared else 0.0)
        if trace.outcome is not None:
            known = [traces[j].outcome for j in compared if traces[j].outcome is not None]
            whole += settings.outcome_weight * (trace.outcome - (statistics.fmean(known) if known else 0.0))
        line = []
        for t in range(trace.length):
            ahead = sum(paid[i][k] - rate * sizes[i][k] for k, end in enumerate(trace.step_ends) if end >= t)
            line.append(0.0 if trace.separators[t] else ahead + whole)
        result.append(line)
    return result


@pytest.mark.parametrize("baseline", Baseline)
@pytest.mark.parametrize("form", [CreditForm.MIN, CreditForm.SUM, CreditForm.MEAN])
@pytest.mark.parametrize("seed", range(5))
def test_advantages_equal_loops(form, baseline, seed):
    settings = CreditSettings(form=form, baseline=baseline, process_weight=0.4, outcome_weight=0.5, temperature=0.2)
    traces = drawn(seed, count=2 + seed, undecided=seed == 3)
    for got, expected in zip(advantages(traces, settings), by_hand(traces, settings), strict=True):
        np.testing.assert_allclose(got.total, expected, atol=1e-9)


def test_groups_are_apart():
    traces, settings = drawn(7, count=7), CreditSettings()
    groups = [0, 1, 0, 1, 1, 0, 0]
    together = advantages(traces, settings, groups)
    for name in (0, 1):
        members = [i for i, other in enumerate(groups) if other == name]
        alone = advantages([traces[i] for i in members], settings)
        for i, credit in zip(members, alone, strict=True):
            np.testing.assert_array_equal(together[i].total, credit.total)


def test_group_credit_is_that_of_deepseekmath():
    traces = drawn(11, count=5)
    pool = [s for trace in traces for s in trace.scores]
    mean, spread = statistics.fmean(pool), statistics.stdev(pool)
    outcomes = [trace.outcome for trace in traces]
    settings = CreditSettings(form=CreditForm.GROUP)
    bonus = [trace.bonus for trace in traces]
    for i, (trace, got) in enumerate(zip(traces, advantages(traces, settings), strict=True)):
        of_outcome = 0.7 * (trace.outcome - statistics.fmean(outcomes)) / (statistics.stdev(outcomes) + TINY)
        of_bonus = bonus[i] - statistics.fmean(b for j, b in enumerate(bonus) if j != i)
        for t in range(trace.length):
            ahead = sum(
                (s - mean) / (spread + TINY) for s, end in zip(trace.scores, trace.step_ends, strict=True) if end >= t
            )
            expected = 0.0 if trace.separators[t] else 0.3 * ahead + of_outcome + of_bonus
            assert got.total[t] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", GroupScale)
def test_group_credit_of_two_traces_of_a_step_each(scale):
    """Two values stand 1 / sqrt(2) standard deviations off their mean; that is not scaled once more."""
    traces = [CreditTrace([0.2], 0.0, [0], 1), CreditTrace([0.8], 1.0, [0], 1)]
    settings = CreditSettings(form=CreditForm.GROUP, scale=scale)
    for got, sign in zip(advantages(traces, settings), (-1, 1), strict=True):
        assert got.process[0] == pytest.approx(sign * 0.3 * 0.3 / (0.6 / math.sqrt(2) + TINY))
        assert got.outcome[0] == pytest.approx(sign * 0.7 * 0.5 / (1 / math.sqrt(2) + TINY))
    unpaid = advantages(traces, CreditSettings(form=CreditForm.GROUP, outcome_weight=0.0))
    assert [got.outcome[0] for got in unpaid] == [0.0, 0.0]


def test_group_credit_where_little_is_known():
    known, unknown = CreditTrace([0.2], 1.0, [0], 1), CreditTrace([0.8], None, [0], 1)
    settings = CreditSettings(form=CreditForm.GROUP)
    for traces in ([known, unknown], [unknown, unknown]):
        assert [got.outcome[0] for got in advantages(traces, settings)] == [0.0, 0.0]
    (alone,) = advantages([known], CreditSettings(form=CreditForm.GROUP, baseline=Baseline.NONE))
    assert (alone.process[0], alone.outcome[0]) == (0.0, pytest.approx(0.7))
    empty = CreditTrace([], None, [], 0)
    assert [got.total.shape for got in advantages([empty, empty], settings)] == [(0,), (0,)]


def test_two_traces_are_divided_by_their_deviation_and_one_by_nothing():
    pair = [CreditTrace([0.9], 1.0, [1], 2), CreditTrace([0.9], 0.0, [1], 2)]
    plain, scaled = (advantages(pair, CreditSettings(scale=scale)) for scale in (GroupScale.NONE, GroupScale.GROUP))
    for one, other in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(other.total * (0.7 / math.sqrt(2) + TINY), one.total, atol=1e-12)
    raw = CreditSettings(scale=GroupScale.GROUP, baseline=Baseline.NONE)
    assert advantages(pair[:1], raw)[0].total == pytest.approx([0.3 * 0.4 + 0.7] * 2)


@pytest.mark.parametrize("scale", [GroupScale.GROUP, GroupScale.BATCH])
def test_scaling_divides_by_the_standard_deviation_of_what_traces_earn(scale):
    traces, groups = drawn(4, count=6), [0, 0, 0, 1, 1, 1]
    plain = advantages(traces, CreditSettings(), groups)
    scaled = advantages(traces, CreditSettings(scale=scale), groups)
    weakest = []
    for trace in traces:  # a trace's earnings without the module's own words: weakest step, softly, and outcome
        apart, start, owned = trace.separators, 0, []
        for end in trace.step_ends:
            owned.append(max(1, sum(not apart[t] for t in range(start, end + 1))))
            start = end + 1
        w = [n * math.exp(-(2 * s - 1) / 0.1) for s, n in zip(trace.scores, owned, strict=True)]
        weakest.append(sum(a * s for a, s in zip(w, trace.scores, strict=True)) / sum(w))
    earned = [0.3 * s + 0.7 * t.outcome + t.bonus for s, t in zip(weakest, traces, strict=True)]
    for i, group in enumerate(groups):
        pool = earned if scale is GroupScale.BATCH else [e for e, g in zip(earned, groups, strict=True) if g == group]
        assert statistics.stdev(pool) > LEAST_SPREAD
        np.testing.assert_allclose(scaled[i].total * (statistics.stdev(pool) + TINY), plain[i].total, atol=1e-9)


def test_noise_of_the_scorer_is_not_blown_up():
    """All wrong, scores alike to 0.001: dividing by their own deviation would make advantages of 1 out of nothing."""
    traces = [CreditTrace([0.5 + 0.001 * i], 0.0, [4], 5) for i in range(4)]
    largest = max(np.abs(c.total).max() for c in advantages(traces, CreditSettings(scale=GroupScale.GROUP)))
    assert 0 < largest < 0.3 * 0.003 / LEAST_SPREAD


def test_separators_bear_no_credit():
    for trace, credit in zip(drawn(5), advantages(drawn(5), CreditSettings()), strict=True):
        apart = np.array(trace.separators, dtype=bool)
        assert np.all(credit.total[apart] == 0)
        assert np.all(credit.total[~apart] != 0)


def test_every_token_of_a_right_short_trace_stands_above_every_token_of_a_wrong_long_one():
    draw = random.Random(2)
    for _ in range(200):
        right = [draw.uniform(0.6, 1) for _ in range(draw.randint(1, 4))]
        wrong = [draw.random() for _ in range(draw.randint(6, 20))]
        traces = [
            CreditTrace(marks, outcome, np.arange(1, len(marks) + 1) * 8 - 1, len(marks) * 8)
            for marks, outcome in ((right, 1.0), (wrong, 0.0))
        ]
        good, bad = advantages(traces, CreditSettings())
        assert good.total.min() > bad.total.max()


def test_with_the_sum_a_wrong_long_trace_is_preferred():
    traces = [
        CreditTrace([0.95] * 2, 1.0, [7, 15], 16),
        CreditTrace([0.8] * 8, 0.0, [7, 15, 23, 31, 39, 47, 55, 63], 64),
    ]
    good, bad = advantages(traces, CreditSettings(form=CreditForm.SUM))
    assert bad.total[0] > 0 > good.total[0]
    assert bad.total[0] == pytest.approx(1.92 - 1.27)


def cut(trace, k, first):
    """The trace with step k cut after its first tokens, both parts scored as the whole was."""
    ends, marks = list(trace.step_ends), list(trace.scores)
    start = 0 if k == 0 else ends[k - 1] + 1
    seen, t = 0, start - 1
    while seen < first:
        t += 1
        seen += not trace.separators[t]
    return CreditTrace(
        [*marks[: k + 1], *marks[k:]],
        trace.outcome,
        [*ends[:k], t, *ends[k:]],
        trace.length,
        trace.separators,
        trace.bonus,
    ), t


@pytest.mark.parametrize("baseline", [Baseline.OTHERS, Baseline.GROUP, Baseline.TOKENS])
def test_splitting_a_step_at_equal_scores_changes_no_advantage(baseline):
    """Of no other trace, of no token before, in the first part, or after. The second part's tokens, which can no
    longer change the first part, keep their own share of the step's reward and no more."""
    settings, compared = CreditSettings(baseline=baseline), 0
    for seed in range(60):
        traces = drawn(seed)
        i, draw = seed % 4, random.Random(seed)
        k = draw.randrange(len(traces[i].scores))
        end = traces[i].step_ends[k]
        start = 0 if k == 0 else traces[i].step_ends[k - 1] + 1
        owned = sum(not traces[i].separators[t] for t in range(start, end + 1))
        if owned < 2:
            continue
        first = draw.randrange(1, owned)
        changed, at = cut(traces[i], k, first)
        before = advantages(traces, settings)
        after = advantages([changed if j == i else trace for j, trace in enumerate(traces)], settings)
        for j in range(4):
            same = np.ones(traces[j].length, dtype=bool)
            if j == i:
                same[at + 1 : end + 1] = False
            np.testing.assert_allclose(after[j].total[same], before[j].total[same], atol=1e-9)
        later = after[i].process[end + 1 :]
        bearing = later[~np.array(traces[i].separators[end + 1 :], dtype=bool)]
        rest = bearing[0] if k + 1 < len(traces[i].scores) else 0.0
        own = before[i].process[start + next(n for n in range(owned) if not traces[i].separators[start + n])] - rest
        second = after[i].process[end] - rest
        assert second == pytest.approx(own * (owned - first) / owned, abs=1e-9)
        compared += 1
    assert compared > 40


@pytest.mark.parametrize("marks", [0.2, 0.9])
def test_among_traces_scored_alike_no_cut_into_steps_is_better_than_another(marks):
    traces = [
        CreditTrace([marks], 0.0, [11], 12),
        CreditTrace([marks] * 3, 0.0, [3, 7, 11], 12),
        CreditTrace([marks] * 12, 0.0, list(range(12)), 12),
        CreditTrace([marks] * 6, 0.0, list(range(3, 24, 4)), 24),
    ]
    for credit in advantages(traces, CreditSettings()):
        np.testing.assert_allclose(credit.total, 0, atol=1e-9)


def test_the_baseline_by_token_pays_length_among_badly_scored_traces_and_warns():
    traces = [CreditTrace([0.1], 0.0, [9], 10), CreditTrace([0.1], 0.0, [99], 100)]
    short, long = advantages(traces, CreditSettings(baseline=Baseline.TOKENS))
    assert long.total[0] > 1 > 0 > short.total[0]
    assert "favours long traces" in CreditSettings(baseline=Baseline.TOKENS).warnings[0]
    short, long = advantages(traces, CreditSettings())
    assert long.total[0] == pytest.approx(short.total[0], abs=1e-12) == pytest.approx(0, abs=1e-12)


def test_the_step_that_fails_is_blamed_and_what_comes_after_is_not():
    slip = CreditTrace([0.95, 0.05, 0.9], 0.0, [4, 9, 14], 15)
    clean = CreditTrace([0.95, 0.95, 0.95], 1.0, [4, 9, 14], 15)
    process = advantages([slip, clean], CreditSettings())[0].process
    assert process[9] < -0.2  # the slip's own tokens
    assert process[10] > process[9] + 0.1


def test_an_undecided_trace_has_no_outcome_advantage_and_no_say():
    decided = [CreditTrace([0.5], 1.0, [3], 4), CreditTrace([0.5], 0.0, [3], 4)]
    unknown = CreditTrace([0.5], None, [3], 4)
    credits = advantages([*decided, unknown], CreditSettings())
    assert [c.outcome[0] for c in credits] == pytest.approx([0.7, -0.7, 0.0])
    for baseline in Baseline:
        nobody = advantages([unknown, unknown], CreditSettings(baseline=baseline))
        assert [c.outcome[0] for c in nobody] == [0.0, 0.0]


def test_one_trace_alone_has_nothing_to_be_compared_with():
    lone = CreditTrace([0.9], 1.0, [3], 4)
    for baseline in (Baseline.OTHERS, Baseline.GROUP, Baseline.TOKENS):
        for trace in (lone, CreditTrace([0.9, 0.1, 0.5], 1.0, [1, 2, 3], 4)):
            assert np.all(advantages([trace], CreditSettings(baseline=baseline))[0].total == 0)
    raw = advantages([lone], CreditSettings(baseline=Baseline.NONE))[0]
    assert raw.total == pytest.approx(np.full(4, 0.3 * 0.4 + 0.7))
    one_known = [lone, CreditTrace([0.9], None, [3], 4)]
    assert [c.outcome[0] for c in advantages(one_known, CreditSettings())] == [0.0, 0.0]


def test_a_trace_without_steps_is_one_step_scored_nought():
    others = drawn(9, count=3)
    empty = CreditTrace([], 0.0, [], 6, [0] * 6)
    nought = CreditTrace([0.0], 0.0, [5], 6, [0] * 6)
    for got, expected in zip(
        advantages([empty, *others], CreditSettings()), advantages([nought, *others], CreditSettings()), strict=True
    ):
        np.testing.assert_array_equal(got.total, expected.total)
    assert advantages([CreditTrace([], 0.0, [], 0), *others], CreditSettings())[0].total.shape == (0,)


def test_names_of_groups_must_fit():
    with pytest.raises(ValueError, match="1 group names for 2 traces"):
        advantages(drawn(1, count=2), CreditSettings(), [0])
