"""Teaching a policy, killed at random points, also during a checkpoint: the same losses and weights, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tests.proofs.test_resume import STEPS, assert_equal_runs, struck, whole_run
from tests.trainer.runs import demonstration_rows, ended, finish, sft_run
from trainer.contract.events import Outcome
from trainer.contract.run_folder import last_attempt

KILLS = 20 if os.environ.get("STEPLENS_PROOF") == "full" else 3
SETTINGS = {"max_steps": STEPS, "eval_every": 6, "checkpoint_every": 4, "keep_last": 2, "budget": "LCPO max"}


def test_killed_teaching_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = (sft_run(tmp_path / name, demonstration_rows(90), **SETTINGS) for name in ("whole", "broken"))
    assert whole_run(whole) == 0, whole.tail_of_log()
    targets = sorted(random.Random(7).sample(range(2, STEPS - 8), KILLS))
    for kill, target in enumerate(targets):
        blow = "checkpoint" if kill % 2 else "step"
        assert struck(broken, blow, target) == -signal.SIGKILL, broken.tail_of_log()
    assert struck(broken, "control", STEPS - 4) == 0, broken.tail_of_log()
    assert ended(broken).outcome is Outcome.PAUSED
    broken.clear_control()
    assert finish(broken) == 0, broken.tail_of_log()
    assert last_attempt(broken.events) == KILLS + 2
    assert_equal_runs(broken, whole)
