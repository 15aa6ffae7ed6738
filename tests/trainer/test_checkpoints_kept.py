"""Which checkpoints are kept: those of the run as it stands, whatever an earlier attempt left beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.runtime import checkpoint
from trainer.runtime.checkpoint import TrainState


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))


@pytest.mark.parametrize(("keep", "left"), [(1, [2, 12]), (2, [2, 10, 12]), (9, [2, 5, 10, 12])])
def test_a_torn_checkpoint_beyond_never_pushes_out_the_one_just_written(
    tmp_path: Path, keep: int, left: list[int]
) -> None:
    for step in (2, 5, 10, 12, 30):
        state = TrainState(step=step, micro_batch=1)
        checkpoint.save(tmp_path, state, {"w": torch.ones(1)}, {})
    (tmp_path / checkpoint.name_of(30) / checkpoint.WEIGHTS).write_bytes(b"torn")
    checkpoint.prune(tmp_path, keep, 2, 12)
    assert kept(tmp_path) == left
    found, torn = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.state.step, torn) == (12, ())
