"""The PRMs of one RL run: one is in memory at a time."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from tests.trainer.runs import prm_run, story_rows
from trainer.contract.records import ModelRef
from trainer.models.load import Loaded, load_for_training
from trainer.models.prm import PrmSettings
from trainer.rl import judges
from trainer.runtime.worker import Worker


def test_the_old_prm_is_let_go_before_the_new_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prm_run(tmp_path / "run", story_rows(2))
    refs = tuple(
        ModelRef(role="prm", path=f"inputs/{step}", checksum=f"sum-{step}", name=f"after {step}", from_step=step)
        for step in (0, 4)
    )
    worker = Worker(folder, msgspec.structs.replace(folder.read_spec(), models=refs))
    read: list[weakref.ref[Any]] = []

    def load(_source: str) -> Loaded:
        gc.collect()
        assert not any(there() for there in read), "two PRMs in memory"
        made = load_for_training("tiny", PrmSettings(2), ["1 + 1 = 2"], seed=0, with_language_head=False)
        read.append(weakref.ref(made.prm))
        return made

    monkeypatch.setattr(judges, "load_prm", load)
    judge = judges.Judges(worker, "", torch.device("cpu"))
    judge.at(3)
    assert judge.version == "sum-0"
    judge.at(4)
    assert (judge.version, len(read)) == ("sum-4", 2)
    assert judge.scores(["1 + 1"], [["1 + 1 = 2"]])[0][0] is not None
    worker.close()
