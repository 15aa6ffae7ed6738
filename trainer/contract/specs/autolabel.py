"""What can be asked of the recipe `autolabel`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import setting


class LabelMethod(StrEnum):
    """Where machine labels come from."""

    RULE = "arithmetic and algebra"
    ROLLOUTS = "rollouts from every step"
    SEARCH = "binary search for the first error"
    CONSENSUS = "rule and rollouts agree"

    @property
    def uses_policy(self) -> bool:
        """Whether a policy must write."""
        return self is not LabelMethod.RULE


class Hardness(StrEnum):
    """What a step's rollouts become."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, slots=True)
class AutolabelSpec:
    """Label steps by machine: an exact check of their arithmetic and algebra; rollouts of a policy from each step."""

    method: LabelMethod = setting(
        LabelMethod.RULE,
        "The rule reads what a step says; rollouts ask whether the reference answer can still be reached from there",
        group="Labels",
    )
    hardness: Hardness = setting(
        Hardness.HARD, "Hard: correct when any rollout gets there; soft: the share that does", group="Labels"
    )
    threshold: float = setting(
        0.0,
        "Hard labels: correct above this share of right rollouts",
        low=0.0,
        high=0.99,
        group="Labels",
        advanced=True,
    )
    algebra: bool = setting(True, "Check identities with letters too, in a process of their own", group="Labels")
    model: str = setting("", "The policy that writes rollouts", group="Rollouts")
    rollouts: int = setting(8, "Rollouts from each step", low=1, high=1024, group="Rollouts")
    max_tokens: int = setting(512, "Longest rollout", low=1, high=131072, group="Rollouts", unit="tokens")
    temperature: float = setting(1.0, "Temperature of the rollouts", low=0.01, high=5.0, group="Rollouts")
    verifier: str = setting(
        "lenient", "Who compares answers with the reference: strict or lenient", group="Rollouts", advanced=True
    )
    max_rollouts: int = setting(
        0,
        "Stop after this many rollouts; a resumed run counts them all; 0 = no limit",
        low=0,
        high=1_000_000_000,
        group="Budget",
    )
    max_minutes: float = setting(0.0, "Stop after this many minutes; 0 = no limit", low=0, high=100_000, group="Budget")
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")
