"""What the dataclasses of the recipes are made of: a setting with its help and range; choices several share."""

from __future__ import annotations

import typing
from dataclasses import field
from enum import StrEnum

Value = str | int | float | bool


class SpecError(ValueError):
    """A parameter that cannot be; the message names the parameter, its value and what is allowed."""


def setting(
    default: Value,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    group: str = "Training",
    advanced: bool = False,
    unit: str = "",
) -> typing.Any:  # noqa: ANN401 - a dataclass field stands for its type
    """A field of a recipe's dataclass: default, help text, inclusive range, and where the form shows it."""
    meta = {"help": help, "low": low, "high": high, "group": group, "advanced": advanced, "unit": unit}
    return field(default=default, metadata=meta)


class Adapt(StrEnum):
    """Which weights of the body are trained."""

    ALL = "all weights"
    LORA = "LoRA"
    LAST_LAYERS = "last layers"
    HEAD = "head only"


class Precision(StrEnum):
    """Arithmetic of the forward and backward pass."""

    FP32 = "fp32"
    BF16 = "bf16"


class Convention(StrEnum):
    """How steps stand in the token ids and where a step's score is read; see `trainer.placement`."""

    TRL = "TRL"
    QWEN = "Qwen"
    MATH_SHEPHERD = "Math-Shepherd"
    RLHFLOW = "RLHFlow"

    @property
    def speaks(self) -> bool:
        """Whether the score is read from the language head's logits of "+" and "-", and not from a step head."""
        return self in (Convention.MATH_SHEPHERD, Convention.RLHFLOW)
