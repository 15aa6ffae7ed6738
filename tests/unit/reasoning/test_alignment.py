"""Steps side by side: the largest sum of similarities, every step once; words changed; runs compared by pairs."""

from __future__ import annotations

import random
from functools import cache
from math import comb

import pytest

from trainer.reasoning.alignment import LEAST, Change, align, edits, similarity, words
from trainer.reasoning.paired import mcnemar, paired

WORDS = "the sum is 12 so x = 5 + 7 wait no check again 3 . therefore".split()  # noqa: SIM905


def best_sum(left: list[str], right: list[str]) -> float:
    """The largest sum, by trying everything that keeps both orders."""

    @cache
    def best(i: int, j: int) -> float:
        if i == len(left) or j == len(right):
            return 0.0
        return max(best(i + 1, j), best(i, j + 1), value(left[i], right[j]) + best(i + 1, j + 1))

    return best(0, 0)


def value(a: str, b: str) -> float:
    alike = similarity(words(a), words(b))
    return (alike if alike >= LEAST else 0.0) + 0.5 * (words(a) == words(b))


def test_pairs_have_the_largest_sum() -> None:
    rng = random.Random(0)
    for _ in range(150):
        left = [" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(rng.randint(0, 7))]
        right = [s if rng.random() < 0.5 else " ".join(rng.choices(WORDS, k=4)) for s in left]
        rng.shuffle(right) if rng.random() < 0.3 else None
        pairs = align(left, right)
        assert [p.left for p in pairs if p.left is not None] == list(range(len(left)))
        assert [p.right for p in pairs if p.right is not None] == list(range(len(right)))
        got = sum(value(left[p.left], right[p.right]) for p in pairs if p.left is not None and p.right is not None)
        assert got == pytest.approx(best_sum(left, right), abs=1e-5)
        assert all((p.change is Change.SAME) == (p.similarity == 1 and words(left[p.left]) == words(right[p.right]))
                   for p in pairs if p.left is not None and p.right is not None)  # fmt: skip


def test_one_changed_number_keeps_the_pair() -> None:
    pairs = align(["Let x = 2.", "So 5x = 6x - 7.", "Done."], ["Let x = 2.", "So 5x = 6x - 14.", "Wait.", "Done."])
    assert [(p.left, p.right, p.change) for p in pairs] == [
        (0, 0, Change.SAME),
        (1, 1, Change.CHANGED),
        (None, 2, Change.RIGHT),
        (2, 3, Change.SAME),
    ]


@pytest.mark.parametrize(("left", "right"), [([], []), ([], ["a"]), (["a"], []), ([""], [""]), ([" "], ["x"])])
def test_nothing_on_a_side(left: list[str], right: list[str]) -> None:
    pairs = align(left, right)
    assert sum(p.left is not None for p in pairs) == len(left)
    assert sum(p.right is not None for p in pairs) == len(right)


def test_edits_cover_both_sides() -> None:
    rng = random.Random(1)
    for _ in range(200):
        left, right = (" ".join(rng.choices(WORDS, k=rng.randint(0, 8))) for _ in range(2))
        found = edits(left, right)
        assert "".join(e.left.of(left) for e in found) == left
        assert "".join(e.right.of(right) for e in found) == right
        for edit in found:
            assert edit.same == (words(edit.left.of(left)) == words(edit.right.of(right)))
    assert [e.left.of("5x = 7") for e in edits("5x = 7", "5x = 14") if not e.same] == ["7"]


def test_mcnemar_is_the_binomial_test() -> None:
    for a in range(12):
        for b in range(12):
            n = a + b
            at_least_as_uneven = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(a - b))
            assert mcnemar(a, b) == pytest.approx(at_least_as_uneven / 2**n)


def test_two_runs_on_the_same_problems() -> None:
    left = [True, True, False, False, True] * 20
    right = [True, False, True, True, True] * 20
    result = paired(left, right)
    assert (result.both, result.left_only, result.right_only, result.neither) == (40, 20, 40, 0)
    assert result.difference.value == pytest.approx(0.2)
    spread = 1.96 * ((0.6 - 0.2**2) / 100) ** 0.5  # the normal interval of a mean of +1, 0 and -1
    assert result.difference.low == pytest.approx(0.2 - spread, abs=0.03)
    assert result.difference.high == pytest.approx(0.2 + spread, abs=0.03)
    with pytest.raises(ValueError, match="same problems"):
        paired([True], [])
