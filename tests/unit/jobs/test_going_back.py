"""A run that a kill threw back and that goes on with another PRM: from where, with which files, and who scored what."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from studio.errors import RunError
from studio.jobs import pins, refresh
from trainer.contract.records import ModelRef, ScoreRecord
from trainer.contract.rollouts import PackedTrace, Pin
from trainer.contract.run_folder import RunFolder, checksum_of, sha256_of
from trainer.contract.spec import RunSpec, build, parameters

OLD, NEW, GONE = (f"{letter * 64}" for letter in "abc")


def trace(scorer: str) -> PackedTrace:
    nothing = dict.fromkeys(("prompt", "tokens", "logprobs", "entropy", "forced", "advantages", "separators"), b"")
    return PackedTrace(
        id="t", row="r", group=0, problem="p", reference="1", text="1", answer="1", step_ends=(0,),
        step_spans=((0, 1),), scores=(0.5,), scorer=scorer, correct=True, outcome=1.0, reward=1.0, parts={},
        thinking_tokens=1, answer_tokens=0, ended="stop", **nothing,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scorer", "update", "version"),
    [
        (OLD, 6, OLD),  # written before the kill, beyond the checkpoint from which the new PRM is in force
        (NEW, 6, NEW),
        (GONE, 1, GONE),  # another PRM has taken its place in the spec since
        ("", 6, NEW),  # a file of before this was kept
        ("", 1, OLD),
    ],
)
def test_a_pin_names_the_prm_that_scored_it(scorer: str, update: int, version: str) -> None:
    models = (
        ModelRef(role="prm", path="inputs/prm", checksum=OLD, name="old"),
        ModelRef(role="prm", path="inputs/prm-b", checksum=NEW, name="new", from_step=4),
    )
    spec = RunSpec(run="run", name="rl", recipe="rl", parameters=parameters(build("rl", {})), models=models)
    made = pins.records_of([Pin(update=update, trace=trace(scorer))], spec)
    (scored,) = [one for one in made if isinstance(one, ScoreRecord)]
    assert scored.scorer.version == version
    assert scored.scorer.name == {OLD: "old", NEW: "new", GONE: f"PRM {GONE[:12]}"}[version]


def checkpoint(folder: RunFolder, step: int, *, torn: bool) -> None:
    path = folder.checkpoints / f"step-{step:08d}"
    path.mkdir(parents=True)
    (path / "weights.safetensors").write_bytes(b"weights")
    files = {"weights.safetensors": sha256_of(path / "weights.safetensors")}
    (path / "state.json").write_bytes(msgspec.json.encode({"step": step, "files": files}))
    if torn:
        (path / "weights.safetensors").write_bytes(b"weig")


def test_a_torn_checkpoint_is_not_where_a_run_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert refresh.newest_step(folder) == 0
    checkpoint(folder, 4, torn=False)
    checkpoint(folder, 8, torn=True)
    (folder.checkpoints / "step-00000012").mkdir()
    assert refresh.newest_step(folder) == 4


def test_a_prm_that_was_copied_by_half_is_copied_anew(tmp_path: Path) -> None:
    source, target = tmp_path / "prm", tmp_path / "inputs" / "prm-1"
    source.mkdir()
    for name in ("config.json", "model.safetensors"):
        (source / name).write_text(name)
    target.mkdir(parents=True)
    os.link(source / "config.json", target / "config.json")
    (target.parent / ".prm-1.77.tmp").mkdir()  # another attempt, cut short
    refresh._bring(source, checksum_of(source), target)
    assert checksum_of(target) == checksum_of(source)
    assert [path.name for path in target.parent.iterdir()] == ["prm-1"]
    kept = target.stat().st_ino
    refresh._bring(source, checksum_of(source), target)
    assert target.stat().st_ino == kept, "what is whole is left alone"
    with pytest.raises(RunError, match="changed while it was copied"):
        refresh._bring(source, OLD, target)
    assert checksum_of(target) == checksum_of(source)
