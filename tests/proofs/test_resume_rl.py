"""RL, killed at random points, also while it writes rollouts or a checkpoint: the same losses, weights and rollouts."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tests.proofs.test_resume import struck, whole_run
from tests.trainer.runs import finish
from tests.trainer.test_rl_recipe import assert_equal, models, rl_run, rows
from trainer.contract.records import InputRow
from trainer.contract.run_folder import last_attempt

FULL = os.environ.get("STEPLENS_PROOF") == "full"
KILLS, UPDATES = (20, 24) if FULL else (3, 5)
PARTS = 2
BLOWS = ("rollouts", "step", "checkpoint")
__all__ = ["models", "rows"]  # fixtures


def test_killed_reinforcement_resumes_bit_for_bit(
    tmp_path: Path,
    rows: list[InputRow],
    models: dict[str, Path],
) -> None:
    settings = {"updates": UPDATES, "parts": PARTS, "eval_every": 3, "checkpoint_every": 2, "keep_last": 1}
    whole, broken = (rl_run(tmp_path / name, rows, models, **settings) for name in ("whole", "broken"))
    assert whole_run(whole) == 0, whole.tail_of_log()
    draw = random.Random(11)
    for kill, update in enumerate(sorted(draw.sample(range(UPDATES - 1), KILLS))):
        blow = BLOWS[kill % len(BLOWS)]
        at = update if blow == "rollouts" else update * PARTS + draw.randint(1, PARTS)
        assert struck(broken, blow, at) == -signal.SIGKILL, broken.tail_of_log()
    assert finish(broken) == 0, broken.tail_of_log()
    assert last_attempt(broken.events) == KILLS + 1
    assert_equal(broken, whole)
