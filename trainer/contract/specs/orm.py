"""What can be asked of the recipe `orm`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.prm import RewardSpec
from trainer.contract.specs.setting import setting


class OutcomeFrom(StrEnum):
    """From what a trace's outcome is taken."""

    KNOWN = "whatever is known"
    RECORDED = "recorded outcome"
    ANSWER = "answer against reference"
    RATINGS = "ratings of all steps"


@dataclass(frozen=True, slots=True)
class OrmSpec(RewardSpec):
    """Train an outcome reward model, the baseline of every PRM: one score for a trace, read at its end."""

    outcome: OutcomeFrom = setting(
        OutcomeFrom.KNOWN,
        "What says whether a trace is right; whatever is known: the recorded outcome, else its answer against the "
        "reference, else its ratings (right when all steps are, wrong when one is)",
        group="Labels",
    )
