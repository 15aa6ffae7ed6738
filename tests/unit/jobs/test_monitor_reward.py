"""A reward that reads a safety monitor is asked about before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.jobs import checks
from studio.jobs.prepare import checked
from studio.jobs.values import RunOrder
from studio.store.rows import Counts
from trainer.contract.records import Split

COUNTS = Counts(
    rows=10,
    problems=10,
    steps=20,
    characters=100,
    longest=10,
    per_split={Split.TRAIN: 10},
    negative=1,
    neutral=0,
    positive=1,
)


@pytest.mark.parametrize(
    ("line", "agreed", "asked"),
    [
        ("from trainer.reasoning.consistency import check", False, True),
        ("from trainer.reasoning import answers, safety", False, True),
        ("from trainer.reasoning.consistency import check", True, False),
        ("from trainer.reasoning.answers import extract", False, False),
    ],
)
def test_flags_as_a_reward_ask_first(tmp_path: Path, line: str, agreed: bool, asked: bool) -> None:
    code = tmp_path / "own.py"
    code.write_text(f"{line}\n\ndef reward(problem, text, reference):\n    return 0.0\n")
    order = checked(RunOrder("rl", {"model": "policy", "reward": f"{code}:reward", "flags_as_reward": agreed}))
    said = [one for one in checks.objections(order, COUNTS) if "learns to hide" in one]
    assert bool(said) is asked
