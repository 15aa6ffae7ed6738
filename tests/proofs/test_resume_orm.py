"""An outcome reward model, killed at random points and during checkpoints: the same losses and weights, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tests.proofs.test_resume import ROWS, SETTINGS, STEPS, assert_equal_runs, struck
from tests.trainer.runs import SMALL, story_rows
from tests.trainer.test_rl_recipe import here
from trainer.contract.run_folder import RunFolder, last_attempt
from trainer.contract.spec import RunSpec, build, parameters

KILLS = 20 if os.environ.get("STEPLENS_PROOF") == "full" else 1


def test_killed_outcome_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = (RunFolder(tmp_path / name) for name in ("whole", "broken"))
    given = parameters(build("orm", SMALL | {**SETTINGS, "language_loss": 0.0}))
    for folder in (whole, broken):
        folder.create(RunSpec(run="run-orm", name="orm", recipe="orm", parameters=given), story_rows(ROWS))
    assert here(whole) == 0, whole.tail_of_log()
    for kill, target in enumerate(sorted(random.Random(8).sample(range(2, STEPS - 8), KILLS))):
        assert struck(broken, "step" if kill % 2 else "checkpoint", target) == -signal.SIGKILL, broken.tail_of_log()
    assert here(broken) == 0, broken.tail_of_log()
    assert last_attempt(broken.events) == KILLS + 1
    assert_equal_runs(broken, whole)
