"""What can be asked of the recipe `score`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import Convention, Precision, setting


class ReadAs(StrEnum):
    """The convention a model is read in: its own, or one that it does not name."""

    ITS_OWN = "as the model says"
    TRL = Convention.TRL.value
    QWEN = Convention.QWEN.value
    MATH_SHEPHERD = Convention.MATH_SHEPHERD.value
    RLHFLOW = Convention.RLHFLOW.value

    @property
    def convention(self) -> Convention | None:
        """The convention chosen; None for the model's own."""
        return None if self is ReadAs.ITS_OWN else Convention(self.value)


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """Score stored traces with a PRM: every step gets P(correct)."""

    model: str = setting("", "A PRM made here, or a folder with one", group="Model")
    max_length: int = setting(
        0, "Longest row in tokens; 0 = what the PRM was trained with", low=0, high=131072, group="Scoring"
    )
    convention: ReadAs = setting(
        ReadAs.ITS_OWN,
        "How steps stand in the tokens of a model made elsewhere, where it does not say so itself",
        group="Scoring",
        advanced=True,
    )
    separator: str = setting(
        "\n",
        "What follows a step, for a TRL model made elsewhere that does not say so itself",
        group="Scoring",
        advanced=True,
    )
    batch_tokens: int = setting(8192, "Padded tokens in one forward pass", low=16, high=10_000_000, group="Scoring")
    precision: Precision = setting(
        Precision.FP32, "Arithmetic; bf16 needs a device that has it", group="Device", advanced=True
    )
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    resident: bool = setting(
        False, "Stay when its rows are scored, and answer requests until none has come", group="Device", advanced=True
    )
    idle_minutes: float = setting(
        10.0,
        "How long a run that stays waits for a request before it ends",
        low=0.001,
        high=1440.0,
        group="Device",
        advanced=True,
        unit="min",
    )
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device", advanced=True)
