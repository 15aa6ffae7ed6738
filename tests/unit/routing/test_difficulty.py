"""The classifier of difficulty: it learns, is calibrated on problems it has not seen, and comes back from JSON."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from trainer.reasoning.metrics import auc, ece
from trainer.reasoning.word_scores import CHARACTER_SIZES, WORD_SIZES
from trainer.routing.difficulty import (
    Difficulty,
    DifficultyModel,
    Example,
    Level,
    TooFewError,
    counts_of,
    learn,
    level_of,
)

WORDS = ("apples", "metres", "people", "books", "minutes")


def drawn(n: int, seed: int) -> tuple[list[Example], np.ndarray]:
    """Problems whose words and length say how probable each level is; and the true P(at least medium), P(hard) [n, 2].

    With x numbers to add, P(at least medium) = s(x - 4) and P(hard) = s(x - 7): the sigmoid s of the number.
    """
    g = np.random.default_rng(seed)
    out, truth = [], []
    for i in range(n):
        x = int(g.integers(1, 11))
        medium, hard = (1 / (1 + np.exp(-(x - at))) for at in (4.0, 7.0))
        u = g.random()
        level = Level.HARD if u < hard else Level.MEDIUM if u < medium else Level.SIMPLE
        numbers = " + ".join(str(g.integers(2, 99)) for _ in range(x))
        out.append(Example(f"Problem {i}: how many {g.choice(WORDS)} are {numbers}?", level))
        truth.append((medium, hard))
    return out, np.array(truth)


@pytest.fixture(scope="module")
def difficulty() -> Difficulty:
    return Difficulty(learn(drawn(900, 1)[0]).model)


def test_it_is_calibrated_on_problems_it_has_not_seen(difficulty: Difficulty):
    examples, truth = drawn(1500, 2)
    judged = [difficulty.judge(example.problem) for example in examples]
    medium = np.array([1 - each.simple for each in judged])
    hard = np.array([each.hard for each in judged])
    levels = np.array([example.level.place for example in examples])
    for found, happened, true in ((medium, levels >= 1, truth[:, 0]), (hard, levels == 2, truth[:, 1])):
        assert ece(found, happened) < 0.05
        assert auc(found, happened) > auc(true, happened) - 0.03  # nearly as good as knowing the probabilities
        assert np.abs(found - true).mean() < 0.08


def test_difficulty_lies_between_nothing_and_one_and_orders_the_levels(difficulty: Difficulty):
    easy, middling, hard = (f"how many apples are {' + '.join(['5'] * x)}?" for x in (1, 6, 10))
    assert difficulty.judge(easy).level is Level.SIMPLE
    assert difficulty.judge(middling).level is Level.MEDIUM
    assert difficulty.judge(hard).level is Level.HARD
    assert 0 <= difficulty(easy) < difficulty(middling) < difficulty(hard) <= 1
    assert 0 <= difficulty("") <= 1  # nothing known of it


def test_the_held_out_scores_are_those_of_models_that_had_not_seen_the_problem():
    """A word that names the problem tells a model its level by heart: held out, it tells nothing."""
    g = np.random.default_rng(0)
    levels = [Level.SIMPLE if g.random() < 0.5 else Level.HARD for _ in range(300)]
    examples = [
        Example(f"word{i}x{i} " * 3 + end, level, group=f"g{i}") for i, level in enumerate(levels) for end in "ab"
    ]
    found = learn(examples)
    wrong = np.repeat([level is Level.HARD for level in levels], 2)  # both of a pair are on one side of a fold
    assert abs(auc(found.held_out[:, 0], wrong) - 0.5) < 0.12


def test_right_or_wrong_alone_makes_two_levels():
    pairs = drawn(300, 3)[0]
    binary = [Example(e.problem, Level.HARD if e.level is not Level.SIMPLE else Level.SIMPLE) for e in pairs]
    model = learn(binary).model
    assert model.hard is None
    judged = Difficulty(model).judge("how many apples are 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10?")
    assert judged.hard == pytest.approx(1 - judged.simple)
    assert judged.difficulty == pytest.approx(1 - judged.simple)


def test_what_is_judged_are_the_weights_over_what_sklearn_makes_of_the_text():
    problems = [example.problem for example in drawn(120, 6)[0]]
    model = learn(drawn(120, 6)[0], features=200).model
    assert (len(model.words), len(model.characters)) == (100, 100)
    with_words, with_characters = (
        TfidfVectorizer(vocabulary=list(known), sublinear_tf=True, **how).fit(problems)
        for known, how in (
            (model.words, {"ngram_range": WORD_SIZES, "token_pattern": r"\w\w+"}),
            (model.characters, {"ngram_range": CHARACTER_SIZES, "analyzer": "char_wb"}),
        )
    )
    np.testing.assert_allclose(model.rarity, [*with_words.idf_, *with_characters.idf_], rtol=1e-5)
    unseen = [example.problem for example in drawn(20, 7)[0]]
    assert model.hard is not None
    raw = {}
    for name, head in (("medium", model.medium), ("hard", model.hard)):
        counts = (np.stack([counts_of(each) for each in unseen]) - model.means) / model.scales
        rows = np.hstack([with_words.transform(unseen).toarray(), with_characters.transform(unseen).toarray(), counts])
        raw[name] = head.curve(rows @ head.weights + head.bias)
    judged = [Difficulty(model).judge(each) for each in unseen]
    np.testing.assert_allclose([1 - each.simple for each in judged], raw["medium"], atol=1e-4)
    np.testing.assert_allclose([each.hard for each in judged], np.minimum(raw["hard"], raw["medium"]), atol=1e-4)


@pytest.mark.parametrize(("medium", "hard"), [(6, 4), (4, 6), (5, 5)])
def test_a_second_head_needs_five_of_both_and_else_a_share_stands_for_it(medium: int, hard: int):
    made = {Level.SIMPLE: [3] * 12, Level.MEDIUM: [30] * medium, Level.HARD: [60] * hard}
    examples = [
        Example(" ".join([f"{level} {k}", *["7"] * x]), level)
        for level, sizes in made.items()
        for k, x in enumerate(sizes)
    ]
    found = learn(examples)
    assert (found.model.hard is not None) == (medium == hard == 5)
    assert found.model.beyond == pytest.approx(hard / (medium + hard))
    first, second = found.held_out.T
    assert (second <= first).all()
    if found.model.hard is None:
        np.testing.assert_allclose(second, first * hard / (medium + hard))


@pytest.mark.parametrize(("difficulty", "level"), [(0, 0), (0.33, 0), (0.34, 1), (0.66, 1), (0.67, 2), (1, 2)])
def test_levels_are_thirds(difficulty: float, level: int):
    assert level_of(difficulty).place == level


def test_it_comes_back_from_json(difficulty: Difficulty):
    again = Difficulty(msgspec.json.decode(msgspec.json.encode(difficulty.model), type=DifficultyModel))
    for example in drawn(20, 4)[0]:
        assert again(example.problem) == difficulty(example.problem)


def test_the_counts_are_those_of_words_numbers_and_commands():
    found = np.expm1(counts_of(r"Add 3.5 and 1,000 to \frac{1}{2}."))
    assert found == pytest.approx([6, 4, 1])


def test_too_few_and_torn_models_are_refused():
    with pytest.raises(TooFewError, match="there are 3 and 0"):
        learn([Example("a b", Level.SIMPLE)] * 3)
    few, many = (
        [Example(f"{level} {k}", level) for k in range(n)] for level, n in ((Level.HARD, 4), (Level.SIMPLE, 9))
    )
    with pytest.raises(TooFewError, match="there are 9 and 4"):
        learn(many + few)
    with pytest.raises(TooFewError, match="there are 4 and 9"):
        learn([Example(f"{k}", Level.SIMPLE) for k in range(4)] + [Example(f"{k} x", Level.MEDIUM) for k in range(9)])
    model = learn(drawn(60, 5)[0]).model
    torn = msgspec.structs.replace(model.medium, weights=model.medium.weights[1:])
    for changed in ({"rarity": model.rarity[1:]}, {"medium": torn}):
        with pytest.raises(ValueError, match="learn it again"):
            Difficulty(msgspec.structs.replace(model, **changed))
