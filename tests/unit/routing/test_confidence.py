"""P(right) of an answer: calibrated on problems it has not seen, with signals missing, and the spans it reads."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from trainer.models.monitor_learn import fold_of
from trainer.reasoning.metrics import auc, ece
from trainer.reasoning.segment import Span
from trainer.routing.confidence import ConfidenceModel, Signals, answer_span, learn, plain, span_logprobs
from trainer.routing.difficulty import FOLDS, TooFewError


def drawn(n: int, seed: int) -> tuple[list[Signals], list[bool], np.ndarray]:
    """Answers whose P(right) is the sigmoid of a sum that the signals are made from; some signals are missing."""
    g = np.random.default_rng(seed)
    signals, right, truth = [], [], []
    for _ in range(n):
        z = 2 * g.standard_normal()
        p = 1 / (1 + math.exp(-z))
        agreement = g.binomial(3, p) / 3
        signals.append(
            Signals(
                mean=-math.log1p(math.exp(-(z + 0.5 * g.standard_normal()))),
                least=-2.0 + z + g.standard_normal() if g.random() < 0.8 else None,
                agreement=agreement,
                prm=1 / (1 + math.exp(-(z + g.standard_normal()))) if g.random() < 0.5 else None,
                before=None,
            )
        )
        right.append(bool(g.random() < p))
        truth.append(p)
    return signals, right, np.array(truth)


def test_it_is_calibrated_and_nearly_as_good_as_knowing():
    signals, right, _ = drawn(1500, 1)
    model = learn(signals, right, [str(i) for i in range(1500)]).model
    others, happened, truth = drawn(2500, 2)
    found = np.array([model(each) for each in others])
    assert ece(found, happened) < 0.05
    assert auc(found, happened) > auc(truth, happened) - 0.05
    assert np.abs(found - truth).mean() < 0.12


def test_few_answers_are_calibrated_by_a_sigmoid():
    signals, right, _ = drawn(200, 3)
    model = learn(signals, right, [str(i) for i in range(200)]).model
    assert not model.curve.x
    others, happened, _ = drawn(2000, 4)
    assert ece([model(each) for each in others], happened) < 0.08


def test_the_line_is_where_the_penalised_cross_entropy_is_flat():
    """The gradient, by differences of the loss itself, is nothing at the weights found."""
    signals, right, _ = drawn(120, 5)
    model = learn(signals, right, [str(i) for i in range(120)]).model
    rows = np.stack([each.row() for each in signals])
    unknown = np.isnan(rows)
    design = np.where(unknown, 0, (rows - np.array(model.means)) / np.array(model.scales))
    line = np.array([*model.weights, *model.absent, model.bias])

    def loss(at: np.ndarray) -> float:
        raw = design @ at[:5] + unknown @ at[5:10] + at[10]
        fit = np.where(right, np.logaddexp(0, -raw), np.logaddexp(0, raw)).sum()
        return float(fit + 0.5 * 1e-2 * 120 * (at[:10] ** 2).sum())

    for k in range(11):
        step = np.zeros(11)
        step[k] = 1e-4
        assert abs(loss(line + step) - loss(line - step)) / 2e-4 < 1e-3


def test_it_comes_back_from_json_and_too_few_are_refused():
    signals, right, _ = drawn(100, 6)
    model = learn(signals, right, [str(i) for i in range(100)]).model
    again = msgspec.json.decode(msgspec.json.encode(model), type=ConfidenceModel)
    assert [again(each) for each in signals] == [model(each) for each in signals]
    assert 0 <= again(Signals()) <= 1
    names = [str(i) for i in range(100)]
    assert learn(signals[:10], [True, False] * 5, names[:10]).model.answers == 10
    for few in ([True] * 96 + [False] * 4, [False] * 96 + [True] * 4):
        with pytest.raises(TooFewError, match="5 right and 5 wrong"):
            learn(signals, few, names)
    with pytest.raises(TooFewError, match="problems of the answers are too few"):
        learn(signals, right, ["the same"] * 100)
    one, other = (next(name for name in names if fold_of([name], FOLDS)[0] == fold) for fold in (0, 1))
    with pytest.raises(TooFewError, match="problems of the answers are too few"):  # of the mixed half nothing is known
        learn(signals, [True] * 50 + [True, False] * 25, [one] * 50 + [other] * 50)


def test_without_a_model_it_is_the_mean_of_what_there_is():
    assert plain(Signals()) is None
    assert plain(Signals(agreement=0.5)) == 0.5
    assert plain(Signals(mean=math.log(0.5), least=-9.0, agreement=1.0, prm=0.3)) == pytest.approx(0.6)


def test_the_answer_span_and_its_log_probs():
    text = "<think>7 + 5 is 12</think>It is 12."
    assert answer_span(text, "12") == Span(text.rindex("12"), text.rindex("12") + 2)
    assert answer_span("12 it is", "12") == Span(0, 2)
    assert answer_span(text, "twelve") == Span(text.index("It"), len(text))
    starts = np.array([0, text.index("It"), text.rindex("12"), len(text) - 1, len(text)], np.uint32)
    logprobs = np.array([-9.0, -1.0, -0.25, -3.0, -7.0], np.float32)
    assert span_logprobs(answer_span(text, "12"), starts, logprobs) == (-0.25, -0.25)
    whole = span_logprobs(answer_span(text, None), starts, logprobs)
    assert whole == (pytest.approx(-4.25 / 3), -3.0)
    assert span_logprobs(Span(0, 3), np.empty(0, np.uint32), np.empty(0, np.float32)) is None
    assert span_logprobs(Span(0, 3), starts, np.full(5, np.nan, np.float32)) is None
