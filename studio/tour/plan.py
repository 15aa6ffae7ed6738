"""The sizes of the tour's long form: those of the measured loop (bench/loop.py), unless a test wants less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.contract.spec import Value
from trainer.reasoning.demonstrations import DEMONSTRATION_COUNT

PRM_VALUES: dict[str, Value] = {
    "micro_batch": 0,
    "max_steps": 700,
    "eval_every": 350,
    "checkpoint_every": 700,
    "threads": 2,
}
RL_VALUES: dict[str, Value] = {
    "prompts": 64,
    "traces": 8,
    "max_thinking": 72,
    "max_answer": 12,
    "rate": 2e-4,
    "updates": 20,
    "eval_every": 2,
    "parts": 2,
    "eval_problems": 400,
    "checkpoint_every": 100,
    "threads": 2,
    "on_alarm": "only tell",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How many demonstrations, and what is typed over the presets of each form."""

    demonstrations: int = DEMONSTRATION_COUNT
    sft: Mapping[str, Value] = field(default_factory=dict)
    prm: Mapping[str, Value] = field(default_factory=lambda: PRM_VALUES)
    rl: Mapping[str, Value] = field(default_factory=lambda: RL_VALUES)
    updates_alone: int = 10
    """Updates of the second run, which the outcome alone pays: half as many, as it is there to be compared."""
