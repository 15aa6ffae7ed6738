"""Which split a problem belongs to: a hash of its normalised text, so the same in every run and workspace."""

from __future__ import annotations

import hashlib
import unicodedata

from trainer.contract.records import Split

_UNITS = 16**16


def fold_of(problem: str) -> str:
    """The problem's fold: sha256 (64 hex digits) of its text under NFKC, casefold and single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", problem).casefold())
    return hashlib.sha256(" ".join(folded.split()).encode("utf-8", "surrogatepass")).hexdigest()


def split_of(fold: str, *, test: float = 0.1, validation: float = 0.1) -> Split:
    """The split of a fold: test takes the lowest share of all hashes, validation the highest.

    The two grow from opposite ends, so changing one share never moves a problem into or out of the other split.
    Raises ValueError when the shares are negative or together over 1.
    """
    if test < 0 or validation < 0 or test + validation > 1:
        raise ValueError(f"test {test} and validation {validation} must be shares that add up to at most 1")
    place = int(fold[:16], 16)
    if place < test * _UNITS:
        return Split.TEST
    if place >= _UNITS - validation * _UNITS:
        return Split.VALIDATION
    return Split.TRAIN
