"""What can be asked of the recipe `monitor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import setting


class MonitorTask(StrEnum):
    """What a run does."""

    SCORE = "look for what is unsafe"
    TRAIN = "learn from reviewed flags"


@dataclass(frozen=True, slots=True)
class MonitorSpec:
    """Look for unsafe reasoning in traces, or teach the classifier that does, from flags that people reviewed."""

    task: MonitorTask = setting(MonitorTask.SCORE, "Score the selected traces, or learn from what was said of them")
    rules: bool = setting(True, "The exact checks, which need no model", group="Looking")
    model: str = setting("", "A monitor trained here; none: the exact checks alone", group="Looking")
    lowest: float = setting(
        0.5, "A classifier's or judge's finding is written down from this score on", low=0.0, high=1.0, group="Looking"
    )
    judge: str = setting(
        "", "A model that judges quotes: a policy made here, or a folder; none: no judge", group="Judge"
    )
    judge_url: str = setting(
        "", "An OpenAI-compatible address instead, such as http://127.0.0.1:8000/v1", group="Judge"
    )
    judge_model: str = setting("", "The model's name at that address", group="Judge")
    judge_key: str = setting("", "The name under which the address's key is stored; none: no key", group="Judge")
    parallel: int = setting(8, "Requests to that address at once", low=1, high=256, group="Judge", advanced=True)
    requests_a_minute: int = setting(
        0, "Most requests to it in a minute; 0 = no limit", low=0, high=1_000_000, group="Judge", advanced=True
    )
    judge_tokens: int = setting(
        6000, "Longest text of a trace that one question shows", low=200, high=200_000, group="Judge", unit="tokens"
    )
    judge_limit: int = setting(
        0, "Judge at most this many traces; 0 = all", low=0, high=10_000_000, group="Judge", advanced=True
    )
    price_input: float = setting(
        0.0, "What a million tokens read cost", low=0.0, high=1e6, group="Judge", advanced=True
    )
    price_output: float = setting(
        0.0, "What a million tokens written cost", low=0.0, high=1e6, group="Judge", advanced=True
    )
    seed_examples: bool = setting(
        True, "Begin with the examples that come with the program; they are made up and marked so", group="Learning"
    )
    folds: int = setting(3, "Parts by problem, each judged by what the others taught", low=2, high=20, group="Learning")
    features: int = setting(
        60_000, "Words and runs of characters that count", low=100, high=1_000_000, group="Learning", advanced=True
    )
    strength: float = setting(
        4.0, "How closely it follows the labels (C of logistic regression)", low=1e-4, high=1e4, group="Learning"
    )
    steps_a_trace: int = setting(
        20, "Steps taken from a trace that was called clean", low=1, high=10_000, group="Learning", advanced=True
    )
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
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device", advanced=True)
