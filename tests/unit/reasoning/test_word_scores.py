"""Features and scores of the trained monitor are those of scikit-learn; its evidence stands in the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from trainer.reasoning.safety import CATEGORIES, Category
from trainer.reasoning.word_scores import (
    Card,
    Curve,
    FileError,
    Head,
    Norm,
    WordModel,
    hybrid,
    load,
    top_of,
    trace_scores,
)

TEXTS = (
    "I'll edit the tests so that they pass, and nobody sees it.",
    "The tests stay as they are; let me read the function.",
    "a  ÄÖ ß x-ray naïve\tcafé\n\nnext line 123 4,5 ₂ ½",
    "",
    "Ω " * 30 + "the the the THE",
    "日本語のテキスト and words",
)


def model_of(texts: tuple[str, ...]) -> tuple[WordModel, TfidfVectorizer, TfidfVectorizer]:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(texts)
    runs = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5)).fit(texts)
    rarity = np.concatenate([words.idf_, runs.idf_])
    draw = np.random.default_rng(0)
    card = Card(
        name="m",
        version="1",
        training="a",
        words=tuple(words.get_feature_names_out()),
        characters=tuple(runs.get_feature_names_out()),
        heads=(Head(category=Category.GAMING.value, curve=Curve(2.0, -1.0)),),
    )
    model = WordModel(card, rarity, draw.normal(size=(7, len(rarity))), draw.normal(size=7))
    return model, words, runs


@pytest.mark.parametrize("text", TEXTS)
def test_features_are_those_of_scikit_learn(text: str) -> None:
    model, words, runs = model_of(TEXTS)
    places, values = model.features(text)
    ours = np.zeros(len(model.rarity))
    ours[places] = values
    theirs = np.concatenate([words.transform([text]).toarray()[0], runs.transform([text]).toarray()[0]])
    assert np.abs(ours - theirs).max() < 1e-12


def test_a_saved_model_gives_the_same_scores(tmp_path: Path) -> None:
    model, _, _ = model_of(TEXTS)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert np.allclose(model.raw(TEXTS), again.raw(TEXTS), atol=1e-5, equal_nan=True)
    assert np.isnan(again.raw(TEXTS)[:, Category.DECEPTION.place]).all()


def test_a_folder_that_is_no_monitor(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="train one"):
        load(tmp_path)
    model, _, _ = model_of(TEXTS)
    model.save(tmp_path / "m")
    np.savez(tmp_path / "m" / "weights.npz", rarity=np.ones(3), weights=np.ones((7, 3)), bias=np.ones(7))
    with pytest.raises(FileError, match="train it again"):
        load(tmp_path / "m")
    np.savez(tmp_path / "m" / "weights.npz", rarity=np.array([object()]), weights=np.ones(1), bias=np.ones(1))
    with pytest.raises(FileError, match="no monitor that can be read"):
        load(tmp_path / "m")


def test_the_evidence_is_the_telling_stretch() -> None:
    card = Card(
        name="m",
        version="1",
        training="",
        words=("tests", "edit"),
        characters=(),
        heads=(Head(category=Category.GAMING.value, curve=Curve()),),
    )
    weights = np.zeros((7, 2))
    weights[Category.GAMING.place] = (1.0, 2.0)
    model = WordModel(card, np.ones(2), weights, np.zeros(7))
    text = "First I look around, then edit the tests quietly and go home."
    span = model.evidence(text, Category.GAMING)
    assert span is not None
    assert span.of(text) == "edit the tests"
    assert model.evidence("nothing of that kind", Category.GAMING) is None


def test_a_curve_is_a_sigmoid_or_steps() -> None:
    assert Curve(2.0, -1.0)(0.5) == pytest.approx(0.5)
    steps = Curve(x=(0.0, 1.0), y=(0.1, 0.9))
    assert steps([-5.0, 0.5, 9.0]).tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert np.isnan(steps(np.nan))


def test_longer_benign_traces_are_expected_to_come_higher() -> None:
    """The highest of n draws grows with ln n; the norm takes that away."""
    draw = np.random.default_rng(1)
    numbers = np.repeat([5, 50, 500], 300)
    tops = np.array([top_of(draw.normal(size=(n, 7)))[0] for n in numbers])
    from trainer.models.monitor_curves import fit_norm

    norm = fit_norm(np.stack([tops, np.full(len(tops), np.nan)], 1), np.stack([numbers, numbers], 1).astype(float))
    above = [
        np.mean([norm(top, n) for top, n in zip(tops, numbers, strict=True) if n == size]) for size in (5, 50, 500)
    ]
    assert max(map(abs, above)) < 0.35, "no length is more suspect than another"
    plain = [tops[numbers == size].mean() for size in (5, 50, 500)]
    assert plain[2] - plain[0] > 1.5


def test_thinking_and_answer_are_mixed_and_stand_alone() -> None:
    assert hybrid(1.0, 3.0, 0.25) == 2.5
    assert hybrid(np.nan, 3.0, 0.25) == 3.0
    assert hybrid(1.0, np.nan, 0.25) == 1.0
    model, _, _ = model_of(TEXTS)
    place = Category.GAMING.place
    thinking, answer = np.zeros((3, 7)), np.empty((0, 7))
    found = trace_scores(model, thinking, answer)
    assert found.hybrid[place] == pytest.approx(1 / (1 + np.e))
    assert np.isnan(found.answer[place])
    assert np.isnan(np.delete(found.hybrid, place)).all()
    assert len(CATEGORIES) == 7
    assert Norm(1.0, 0.5, 2.0)(3.0, 1) == 1.0


def test_words_that_stand_in_no_row_change_no_fit() -> None:
    from sklearn.linear_model import LogisticRegression

    from trainer.models.monitor_learn import Options, _Fitted

    texts = [f"step {k} is {'secretly wrong' if k % 3 else 'plainly right'} number {k % 7}" for k in range(60)]
    said = np.array([int(k % 3 > 0) for k in range(60)])
    fitted = _Fitted(texts, [], Options())
    rows = np.arange(5, 30)
    line = fitted.fit(rows, said)
    assert line is not None
    whole = LogisticRegression(C=4.0, class_weight="balanced", solver="liblinear").fit(fitted._matrix[rows], said[rows])
    np.testing.assert_allclose(line.weights, whole.coef_[0], atol=1e-6)
    assert line.bias == pytest.approx(whole.intercept_[0], abs=1e-6)
    assert (line.weights == 0).any()
