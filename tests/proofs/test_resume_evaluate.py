"""An evaluation whose worker is killed (SIGKILL) again and again repeats nothing and loses nothing.

The short form: 100 problems and 1 kill; with STEPLENS_PROOF=full 5,000 problems and 12 kills. After the last attempt
every sample and trace stands there once, and all are those of an evaluation that nobody killed.
"""

from __future__ import annotations

import functools
import os
import random
import signal
from pathlib import Path

import msgspec

from tests.trainer.runs import ended, finish, start, until
from tests.trainer.test_rl_recipe import here
from tests.trainer.warm import start_warm
from trainer.contract.records import EvaluationRecord, InputRow, ModelRef, TraceRecord
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.models.tiny import make_tiny
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations

FULL = os.environ.get("STEPLENS_PROOF") == "full"
PROBLEMS, KILLS = (5_000, 12) if FULL else (100, 1)


def evaluation(path: Path, policy: Path, rows: list[InputRow]) -> RunFolder:
    """A run that is not started."""
    folder = RunFolder(path)
    settings = {
        "model": "m", "suite": "own", "n": 2, "temperature": 1.0, "max_thinking_tokens": 12, "max_answer_tokens": 6,
        "strategy": "majority", "batch_rows": 16, "threads": 1,
    }  # fmt: skip
    ref = ModelRef(role="model", path="inputs/model", checksum=sha256_of_folder(policy), name="tiny")
    given = parameters(build("evaluate", settings))
    folder.create(RunSpec(run="killed", name="k", recipe="evaluate", parameters=given, models=(ref,)), rows)
    (folder.inputs / "model").symlink_to(policy)
    return folder


def records(folder: RunFolder) -> dict[str, bytes]:
    """What was made, without what a clock says; nothing stands there twice."""
    made: dict[str, bytes] = {}
    found, offset = read_records(folder.records)
    while found:
        for one in found:
            assert isinstance(one, EvaluationRecord | TraceRecord)
            assert one.id not in made
            if isinstance(one, EvaluationRecord):
                one = msgspec.structs.replace(one, spent=msgspec.structs.replace(one.spent, seconds=0.0))
            made[one.id] = msgspec.json.encode(one)
        found, offset = read_records(folder.records, offset)
    return made


def test_kills_change_nothing(tmp_path: Path) -> None:
    rows = [demonstration_row(one, number) for number, one in enumerate(make_demonstrations(PROBLEMS, seed=5))]
    tiny = make_tiny((row.problem for row in rows[:200]), 1)
    policy = tmp_path / "policy"
    tiny.model.save_pretrained(policy)
    tiny.tokenizer.save_pretrained(policy)
    killed = evaluation(tmp_path / "killed", policy, rows)
    each = PROBLEMS * 5 // (KILLS + 1)
    dice = random.Random(2)
    for kill in range(KILLS):
        worker = start(killed) if FULL else start_warm(killed)
        wanted = each * kill + dice.randrange(1, each)
        assert until(worker, functools.partial(_has_lines, killed, wanted), timeout=240)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert finish(killed) == 0, ended(killed).traceback
    whole = evaluation(tmp_path / "whole", policy, rows)
    assert here(whole) == 0, ended(whole).traceback
    found, expected = records(killed), records(whole)
    assert len(expected) == PROBLEMS * (2 + 2 + 1)
    assert found == expected


def _has_lines(folder: RunFolder, wanted: int) -> bool:
    return folder.records.exists() and folder.records.read_bytes().count(b"\n") >= wanted
