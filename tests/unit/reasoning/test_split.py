"""The split: normalisation, shares, stability, independence of the two ends."""

from __future__ import annotations

import hashlib

import pytest

from trainer.contract.records import Split
from trainer.reasoning.split import fold_of, split_of

FOLDS = [fold_of(f"problem {number}") for number in range(20_000)]


def test_fold_is_the_sha256_of_the_normalised_problem() -> None:
    expected = hashlib.sha256(b"find $x^2$ if x = 3").hexdigest()
    assert fold_of("Find  $x^2$\n if\u00a0x = 3 ") == expected
    assert fold_of("ＦＩＮＤ $x^2$ if x = 3") == expected, "full-width letters are the same under NFKC"
    assert fold_of("find $x^2$ if x = 4") != expected


@pytest.mark.parametrize("text", ["", " ", "ß", "\ud800", "ﬁne ½ ①", "Straße\u2003x"])
def test_case_and_outer_space_change_nothing(text: str) -> None:
    assert fold_of(f" {text.upper()}\t") == fold_of(text.lower())
    assert len(fold_of(text)) == 64


def test_shares_are_near_what_was_asked() -> None:
    found = [split_of(fold) for fold in FOLDS]
    # 3 standard deviations of a binomial with n = 20,000 and p = 0.1 are 127
    assert found.count(Split.TEST) == pytest.approx(2000, abs=130)
    assert found.count(Split.VALIDATION) == pytest.approx(2000, abs=130)


def test_changing_one_share_never_moves_the_other_split() -> None:
    for share in (0.0, 0.05, 0.3, 0.9):
        for fold in FOLDS[:3000]:
            base = split_of(fold)
            assert (split_of(fold, validation=share) is Split.TEST) == (base is Split.TEST)
            assert (split_of(fold, test=share) is Split.VALIDATION) == (base is Split.VALIDATION)


def test_a_growing_share_only_adds() -> None:
    small = {fold for fold in FOLDS if split_of(fold, test=0.05) is Split.TEST}
    large = {fold for fold in FOLDS if split_of(fold, test=0.2) is Split.TEST}
    assert small < large


def test_the_ends_belong_where_they_should() -> None:
    lowest, highest = "0" * 64, "f" * 64
    assert split_of(lowest) is Split.TEST
    assert split_of(highest) is Split.VALIDATION
    assert split_of(lowest, test=0.0) is Split.TRAIN
    assert split_of(highest, validation=0.0) is Split.TRAIN
    assert {split_of(fold, test=0.5, validation=0.5) for fold in FOLDS} == {Split.TEST, Split.VALIDATION}


def test_a_known_problem_stays_where_it_is() -> None:
    """Frozen values: a change here would leak test problems of older runs into training."""
    found = [split_of(fold) for fold in FOLDS[:30]]
    assert [number for number, split in enumerate(found) if split is Split.TEST] == [2, 11, 13]
    assert [number for number, split in enumerate(found) if split is Split.VALIDATION] == [6, 14, 21]


@pytest.mark.parametrize(("test", "validation"), [(-0.1, 0.1), (0.1, -0.1), (0.6, 0.5)])
def test_impossible_shares_are_refused(test: float, validation: float) -> None:
    with pytest.raises(ValueError, match="add up to at most 1"):
        split_of(FOLDS[0], test=test, validation=validation)
