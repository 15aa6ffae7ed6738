"""What can be asked of the recipe `rubric`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import setting


class RubricBy(StrEnum):
    """What looks for a rubric. Its rule needs no run."""

    CLASSIFIER = "own classifier"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class RubricSpec:
    """Look in traces for what a rubric describes, by a classifier of its examples and confirmed hits, or by a judge."""

    rubric: str = setting("", "The rubric's name", group="Rubric")
    by: RubricBy = setting(RubricBy.CLASSIFIER, "What looks for it", group="Rubric")
    lowest: float = setting(0.5, "A passage counts from this score on", low=0.0, high=1.0, group="Rubric")
    most: int = setting(5, "Passages of one trace that are kept, the likeliest", low=1, high=100, group="Rubric")
    judge: str = setting("", "A model that judges quotes: a policy made here, or a folder", group="Judge")
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
    judge_limit: int = setting(0, "Judge at most this many traces; 0 = all", low=0, high=10_000_000, group="Judge")
    price_input: float = setting(0.0, "What a million tokens read cost", low=0.0, high=1e6, group="Judge")
    price_output: float = setting(0.0, "What a million tokens written cost", low=0.0, high=1e6, group="Judge")
    background: int = setting(
        400,
        "Steps drawn from the traces and taken as not it, beside the counter-examples",
        low=0,
        high=100_000,
        group="Learning",
        advanced=True,
    )
    features: int = setting(
        60_000, "Words and runs of characters that count", low=100, high=1_000_000, group="Learning", advanced=True
    )
    strength: float = setting(
        4.0,
        "How closely it follows the examples (C of logistic regression)",
        low=1e-4,
        high=1e4,
        group="Learning",
        advanced=True,
    )
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device", advanced=True)
