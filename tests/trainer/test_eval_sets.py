"""Named held-out sets in every recipe that validates: measured apart, and one of them choosing the best weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.trainer.runs import demonstration_rows, ended, live_events, metrics, prm_run, sft_run, story_rows
from tests.trainer.test_rl_recipe import here, rl_run
from trainer.contract import events
from trainer.contract.records import InputRow, Split
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import SpecError, build
from trainer.contract.specs.eval_sets import EvalSet, parse
from trainer.runtime import checkpoint

SETS = "easy: difficulty=..3; hard: difficulty=4.."


def sizes(rows: Iterable[InputRow]) -> tuple[int, int]:
    """Validation rows of at most three steps, and of more."""
    held_out = [len(row.steps) for row in rows if row.split is Split.VALIDATION]
    easy = sum(count <= 3 for count in held_out)
    assert 0 < easy < len(held_out), "both sets hold something"
    return easy, len(held_out) - easy


def parts(folder: RunFolder, name: str) -> dict[int, tuple[float, float, float]]:
    """By step: the figure of easy, of hard, and of all validation rows."""
    easy, hard, whole = (dict(metrics(folder, split)) for split in ("eval/easy", "eval/hard", "validation"))
    assert list(easy) == list(hard) == list(whole)
    return {step: (easy[step][name], hard[step][name], whole[step][name]) for step in whole}


def best_step(folder: RunFolder) -> int:
    found, _ = checkpoint.newest(folder.checkpoints)
    assert found is not None
    return found.state.best_step


def test_rl_writes_each_held_out_problem_once_and_the_named_set_decides(tmp_path: Path) -> None:
    rows = demonstration_rows(160, seed=3)
    taught = sft_run(tmp_path / "sft", rows, max_steps=60, batch_size=16, max_length=128)
    assert here(taught) == 0, taught.tail_of_log()
    folder = rl_run(
        tmp_path / "rl", rows, {"model": taught.model}, eval_sets=SETS, best_by="hard", eval_every=1, updates=2,
        eval_problems=256, rate=1e-3,
    )  # fmt: skip
    assert here(folder) == 0, folder.tail_of_log()
    few, many = sizes(rows)
    for easy, hard, whole in parts(folder, "n_problems").values():
        assert (easy, hard, whole) == (few, many, few + many)
    measured = parts(folder, "accuracy")
    assert list(measured) == [0, 1, 2]
    for easy, hard, whole in measured.values():
        assert whole == pytest.approx((few * easy + many * hard) / (few + many))
    assert best_step(folder) == max(measured, key=lambda step: measured[step][1]), "the first of the greatest"
    told = [event.message for event in live_events(folder) if isinstance(event, events.Notice)]
    assert f"held-out sets: easy {few}, hard {many}" in told


def test_sft_and_prm_measure_their_sets_apart(tmp_path: Path) -> None:
    rows = demonstration_rows(160, seed=3)
    taught = sft_run(tmp_path / "sft", rows, max_steps=4, eval_every=2, max_length=128, eval_sets=SETS, best_by="easy")
    assert here(taught) == 0, taught.tail_of_log()
    tokens, losses = parts(taught, "n_tokens"), parts(taught, "loss")
    for step, (easy, hard, whole) in losses.items():
        few, many, count = tokens[step]
        assert few + many == count
        assert whole == pytest.approx((few * easy + many * hard) / count, rel=1e-6)
    assert best_step(taught) == min(losses, key=lambda step: losses[step][0])

    stories = story_rows(80)
    judged = prm_run(tmp_path / "prm", stories, max_steps=4, eval_every=2, eval_sets=SETS, best_by="hard")
    assert here(judged) == 0, judged.tail_of_log()
    sizes(stories)
    for easy, hard, whole in parts(judged, "n_steps").values():
        assert easy + hard == whole > 0
    aucs = parts(judged, "auc")
    assert best_step(judged) == max(aucs, key=lambda step: aucs[step][1])


def test_a_deciding_set_without_rows_is_refused(tmp_path: Path) -> None:
    rows = story_rows(30)
    empty = prm_run(tmp_path / "empty", rows, max_steps=1, eval_sets="giants: difficulty=99..", best_by="giants")
    assert here(empty) == 1
    assert "holds no row" in ended(empty).message
    unknown = prm_run(tmp_path / "unknown", rows, max_steps=1, eval_sets=SETS, best_by="medium")
    assert here(unknown) == 1
    assert "none of the sets: easy, hard" in ended(unknown).message


def test_the_setting_is_read_and_what_is_wrong_is_said() -> None:
    assert parse("") == ()
    assert parse("a: difficulty=3; b: split=test, project=GSM8K, difficulty=..5; c:") == (
        EvalSet("a", low=3, high=3),
        EvalSet("b", project="GSM8K", split=Split.TEST, high=5),
        EvalSet("c"),
    )
    row = story_rows(1)[0]
    steps = len(row.steps)
    held = EvalSet("x", split=row.split, low=steps, high=steps)
    assert held.holds(row)
    assert not EvalSet("x", split=row.split, low=steps + 1).holds(row)
    assert not EvalSet("x", split=row.split, project="elsewhere").holds(row)
    refused = {
        "hard": "name and a colon", "a: b; a: c": "is not one of", "a: split=train": "not held out",
        "a:; a:": "two sets",
        "a: difficulty=5..3": "holds nothing", "a: difficulty=x": "no range",
        "a: split=test, split=test": "at most once",
    }  # fmt: skip
    for wrong, why in refused.items():
        with pytest.raises(SpecError, match=why):
            build("rl", {"eval_sets": wrong})
