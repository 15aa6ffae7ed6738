"""Choices that the forms show and that the arithmetic of credit and budgets follows. Loads nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class CreditForm(StrEnum):
    """How the scores of a trace's steps become what each step is paid."""

    MIN = "min"
    SUM = "sum"
    MEAN = "mean"
    LAST = "last"
    CLIP = "clip"
    DELTA = "delta"
    GROUP = "group"

    @property
    def meaning(self) -> str:
        """One sentence for a form or a picture."""
        return _MEANINGS[self]

    @property
    def warning(self) -> str:
        """What can go wrong with it; empty where nothing is known to."""
        return _WARNINGS.get(self, "")


_MEANINGS = {
    CreditForm.MIN: "A trace is worth its weakest step, and that step is the one paid or blamed.",
    CreditForm.SUM: "Every step is paid its score.",
    CreditForm.MEAN: "A trace is worth the mean of its scores.",
    CreditForm.LAST: "A trace is worth the score of its last step.",
    CreditForm.CLIP: "A step below the threshold costs what it lacks; a step above earns nothing.",
    CreditForm.DELTA: "A step is paid its score less that of the next, so that its tokens see its own score alone.",
    CreditForm.GROUP: "Scores are normalised over all steps of the group's traces, and every step is paid its own.",
}
_WARNINGS = {
    CreditForm.SUM: "Pays by the step: a wrong trace of eight steps scored 0.8 earns 1.92, a right one of two steps "
    "scored 0.95 earns 1.27. The policy learns to write more steps, not better ones.",
    CreditForm.GROUP: "Pays by the step: a trace gains by more steps above the group's mean score.",
    CreditForm.CLIP: "Charges by the step: a long right trace with doubted steps can earn less than a short wrong one.",
    CreditForm.LAST: "Only the last step's score counts: a wrong step that is passed over costs nothing.",
}


class GroupScale(StrEnum):
    """By what standard deviation the advantages are divided."""

    GROUP = "group"
    BATCH = "batch"
    NONE = "none"


class BudgetReward(StrEnum):
    """What keeping to the thinking budget pays."""

    NONE = "none"
    EXACT = "LCPO exact"
    MAX = "LCPO max"


class Aggregation(StrEnum):
    """How the scores of a trace's steps become one score of the trace."""

    MIN = "min"
    PRODUCT = "product"
    LAST = "last"
    MEAN = "mean"


class Pick(StrEnum):
    """Which of several finished traces answers; groups are traces whose answers are mathematically equal."""

    MAJORITY = "largest group"
    WEIGHTED = "group with the most score"
    BEST = "best trace"
    BEST_OF_MAJORITY = "best trace of the largest group"
