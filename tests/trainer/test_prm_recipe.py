"""The PRM recipe on run folders: what it writes, what it tells, how it stops. In this process, but for the memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.trainer.runs import all_events, ended, live_events, metrics, prm_run, score_run, story_rows
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.records import InputRow, SourceRef, Split, Votes, record_id
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.models import prm as prm_model
from trainer.models.tiny import make_tiny
from trainer.reasoning.estimate import ModelShape, estimate_prm, tokens_in_a_pass
from trainer.recipes import prm, score
from trainer.runtime import checkpoint
from trainer.runtime.worker import run_attempt

replace = msgspec.structs.replace


def train(folder: RunFolder) -> int:
    return run_attempt(folder.path, lambda _: prm.run)


def notices(folder: RunFolder) -> dict[str, events.Notice]:
    return {event.code: event for event in live_events(folder) if isinstance(event, events.Notice)}


def with_sources(rows: list[InputRow]) -> list[InputRow]:
    return [replace(row, sources=(SourceRef(f"annotation-{i}", i % 3 + 1),)) for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    rows = with_sources(story_rows(150))
    folder = prm_run(tmp_path_factory.mktemp("prm") / "run", rows, max_steps=9, eval_every=3, checkpoint_every=4)
    assert train(folder) == 0, ended(folder).traceback
    return folder


def test_the_curves_name_every_figure_beside_its_baselines(trained_run: RunFolder):
    train_figures = metrics(trained_run, "train")
    assert [step for step, _ in train_figures] == list(range(1, 10))
    assert {"loss", "grad_norm", "accuracy", "learning_rate", "head_learning_rate"} <= set(train_figures[0][1])
    validation = metrics(trained_run, "validation")
    assert [step for step, _ in validation] == [3, 6, 9]
    names = set(validation[0][1])
    assert {"loss", "auc", "accuracy", "first_error_accuracy", "ece", "brier", "n_steps", "n_rows"} <= names
    for other in ("baseline_step_index", "baseline_tfidf", "hint_last_rated"):
        assert {f"{other}_auc", f"{other}_first_error_accuracy", f"{other}_ece"} <= names
    (_, test), *_ = metrics(trained_run, "test")
    assert test["auc_low"] <= test["auc"] <= test["auc_high"]
    assert {"auc_over_baseline_tfidf_low", "auc_over_baseline_step_index_high"} <= set(test)
    started = next(e for e in all_events(trained_run) if isinstance(e, events.Started))
    assert (started.total_steps, started.trainable) == (9, started.parameters)


def test_examples_show_scores_beside_targets(trained_run: RunFolder):
    shown = [e for e in all_events(trained_run) if isinstance(e, events.Example)]
    assert len(shown) == 3 * 8
    for example in shown:
        assert len(example.scores) == len(example.targets) == len(example.steps)
        assert all(score is None or 0 <= score <= 1 for score in example.scores)


def test_the_model_folder_has_a_card_lineage_and_the_checksum(trained_run: RunFolder):
    card = (trained_run.model / "MODEL_CARD.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert sha256_of_folder(trained_run.model) in card
    for text in ("Neutral ratings: **positive**", "step index", "last rated step", "95 % interval", "| seed | 0 |"):
        assert text in card
    lineage = json.loads((trained_run.model / "lineage.json").read_text())
    used = {name: revision for part in lineage["annotations"].values() for name, revision in part.items()}
    assert used == {f"annotation-{i}": i % 3 + 1 for i in range(150)}
    assert lineage["input_sha256"] == trained_run.read_spec().input_sha256


def test_few_checkpoints_are_kept_and_the_best_is_among_them(trained_run: RunFolder):
    kept = sorted(path.name for path in trained_run.checkpoints.iterdir())
    best = ended(trained_run).summary["best_step"]
    assert checkpoint.name_of(int(best)) in kept
    assert len(kept) <= 3
    auc = dict(metrics(trained_run, "validation"))
    assert auc[int(best)]["auc"] == max(values["auc"] for values in auc.values())


def test_the_same_run_again_gives_the_same_bytes(trained_run: RunFolder, tmp_path: Path):
    rows = with_sources(story_rows(150))
    again = prm_run(tmp_path / "run", rows, max_steps=9, eval_every=3, checkpoint_every=4)
    assert train(again) == 0
    assert sha256_of_folder(again.model) == sha256_of_folder(trained_run.model)


def test_scores_are_those_of_the_model_and_steps_beyond_the_cut_have_none(trained_run: RunFolder, tmp_path: Path):
    rows = [replace(row, votes=None) for row in story_rows(30, seed=4)]
    folder = score_run(tmp_path / "run", trained_run.model, rows, batch_tokens=300)
    short = score_run(tmp_path / "short", trained_run.model, rows, max_length=40)
    for run in (folder, short):
        assert run_attempt(run.path, lambda _: score.run) == 0, ended(run).traceback
    records = {record.row: record for record in read_records(folder.records)[0]}
    assert {record.id for record in records.values()} == {record_id("run-score", row.id, 0) for row in rows}
    assert {record.scorer.version for record in records.values()} == {sha256_of_folder(trained_run.model)}
    for row in rows:
        assert len(records[row.id].values) == len(row.steps)
        assert all(value is not None and 0 < value < 1 for value in records[row.id].values)
    lost = 0
    for record in read_records(short.records)[0]:
        whole = records[record.row].values
        known = [value for value in record.values if value is not None]
        assert list(record.values) == known + [None] * (len(whole) - len(known))
        assert known == pytest.approx(list(whole[: len(known)]), abs=1e-5)
        lost += len(whole) - len(known)
    assert lost > 0
    assert notices(short)["steps_cut"].counts == {"steps": lost}


def test_a_classifier_made_elsewhere_scores_with_a_word_of_caution(trained_run: RunFolder, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained_run.model, elsewhere)
    config = json.loads((elsewhere / "config.json").read_text())
    del config["steplens"]
    (elsewhere / "config.json").write_text(json.dumps(config))
    rows = [replace(row, problem=row.problem + "\n") for row in story_rows(5, seed=4)]  # read as it stands elsewhere
    folder = score_run(tmp_path / "run", elsewhere, rows)
    assert run_attempt(folder.path, lambda _: score.run) == 0, ended(folder).traceback
    assert "settings_assumed" in notices(folder)
    own = score_run(tmp_path / "own", trained_run.model, rows)
    assert run_attempt(own.path, lambda _: score.run) == 0
    assert "settings_assumed" not in notices(own)
    values = [[record.values for record in read_records(run.records)[0]] for run in (folder, own)]
    heat = ended(own).summary["temperature"]
    assert heat not in (0.0, 1.0)
    for plain, tempered in zip(*values, strict=True):
        assert logits(plain) / heat == pytest.approx(logits(tempered), abs=1e-3)


def logits(values: Sequence[float | None]) -> np.ndarray:
    p = np.array(values, np.float64)
    return np.log(p / (1 - p))


def test_labels_lost_to_max_length_are_counted_and_none_left_ends_the_run(tmp_path: Path):
    rows = [replace(row, split=Split.TRAIN) for row in story_rows(40)]
    folder = prm_run(tmp_path / "some", rows, max_steps=1, max_length=40)
    assert train(folder) == 0
    counts = notices(folder)["labels_cut"].counts
    assert 0 < counts["labels_lost"] < sum(vote is not None for row in rows for vote in row.votes or ())
    assert "no_validation" in notices(folder)
    none = prm_run(tmp_path / "none", rows, max_steps=1, max_length=16)
    assert train(none) == 1
    assert "raise max_length" in ended(none).message
    assert notices(none)["labels_cut"].counts["rows_lost"] == 40


def test_rows_whose_votes_do_not_fit_and_rows_without_votes_are_told(tmp_path: Path):
    good, bad, bare = story_rows(3)
    rows = [good, replace(bad, votes=(*(bad.votes or ()), Votes(positive=1))), replace(bare, votes=None)]
    folder = prm_run(tmp_path / "run", [replace(row, split=Split.TRAIN) for row in rows], max_steps=1)
    assert train(folder) == 0
    assert notices(folder)["votes_do_not_fit"].counts == {"rows": 1}
    assert bad.id in notices(folder)["votes_do_not_fit"].message
    assert notices(folder)["rows_without_label"].counts == {"rows": 1}


def test_no_label_at_all_ends_the_run_with_advice(tmp_path: Path):
    folder = prm_run(tmp_path / "run", [replace(row, votes=None) for row in story_rows(5)])
    assert train(folder) == 1
    assert "choose more rows" in ended(folder).message


def test_a_step_without_finite_loss_is_skipped_and_three_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, calls = prm_model.step_loss, []

    def broken(*given: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(*given) * (float("nan") if len(calls) in bad else 1.0)

    monkeypatch.setattr(prm_model, "step_loss", broken)
    rows = [replace(row, split=Split.TRAIN) for row in story_rows(40)]
    for bad, code in (({2, 4}, 0), ({2, 3, 4}, 1)):
        calls.clear()
        folder = prm_run(tmp_path / str(code), rows, max_steps=6)
        assert train(folder) == code
        skipped = [e.step for e in all_events(folder) if isinstance(e, events.Notice) and e.code == "not_finite"]
        assert skipped == sorted(bad)
        assert [s for s, values in metrics(folder, "train") if "loss" not in values] == sorted(bad)
    assert "lower the learning rates" in ended(folder).message


def test_memory_running_out_is_told_and_changes_nothing(trained_run: RunFolder, tmp_path: Path, monkeypatch):
    body = prm.Prm.body_states

    def small(self: prm.Prm, ids: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if self.training and ids.shape[0] > 2:
            raise torch.OutOfMemoryError("simulated")
        return body(self, ids, *rest)

    monkeypatch.setattr(prm.Prm, "body_states", small)
    folder = prm_run(tmp_path / "run", with_sources(story_rows(150)), max_steps=3, eval_every=3, warmup=0, decay=0)
    assert train(folder) == 0
    # halved until at most 2 rows fit: 8, 4, 2, or 7, 3, 1 where an epoch's last batch comes first
    assert notices(folder)["out_of_memory"].counts["micro_batch"] in (1, 2)
    monkeypatch.undo()
    whole = prm_run(tmp_path / "whole", with_sources(story_rows(150)), max_steps=3, eval_every=3, warmup=0, decay=0)
    assert train(whole) == 0
    losses = [[values["loss"] for _, values in metrics(run, "train")] for run in (folder, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_patience_and_minutes_end_the_training(tmp_path: Path):
    still = {"head_rate": 0.0, "body_rate": 0.0, "max_steps": 50}
    folder = prm_run(tmp_path / "patience", story_rows(60), eval_every=2, patience=3, **still)
    assert train(folder) == 0
    assert ended(folder).summary["steps"] == 8  # the first is the best, three more are not better
    assert ended(folder).summary["best_step"] == 2
    folder = prm_run(tmp_path / "minutes", story_rows(60), max_minutes=1e-6, **still)
    assert train(folder) == 0
    assert ended(folder).summary["steps"] == 1


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path):
    rows = story_rows(60)
    settings = {"max_steps": 6, "checkpoint_every": 2, "eval_every": 100}
    whole = prm_run(tmp_path / "whole", rows, **settings)
    assert train(whole) == 0
    broken = prm_run(tmp_path / "broken", rows, **settings)
    real = prm.Training._advance

    def until_five(self: prm.Training) -> None:
        if self.state.step == 5:
            raise ConnectionError("the machine was switched off")
        real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prm.Training, "_advance", until_five)
        assert train(broken) == 1
    torn = broken.checkpoints / checkpoint.name_of(4) / checkpoint.WEIGHTS
    torn.write_bytes(torn.read_bytes()[:-100])
    assert train(broken) == 0, ended(broken).traceback
    assert "step-00000004" in notices(broken)["checkpoint_torn"].message
    resumed = next(e for e in all_events(broken) if isinstance(e, events.Resumed))
    assert resumed.from_step == 2
    assert metrics(broken, "train") == metrics(whole, "train")
    assert (broken.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


def test_a_checkpoint_of_other_weights_is_refused(tmp_path: Path):
    folder = prm_run(tmp_path / "run", story_rows(30), max_steps=1)
    other = prm_run(tmp_path / "other", story_rows(30), max_steps=1, adapt="head only")
    assert train(other) == 0
    shutil.copytree(other.checkpoints, folder.checkpoints, dirs_exist_ok=True)
    assert train(folder) == 1
    assert "delete the checkpoints" in ended(folder).message
    assert ended(folder).outcome is Outcome.FAILED


def peak(*command: str) -> int:
    """Largest resident memory of a program in bytes, read while it lives: a child's rusage would begin with ours."""
    most = 0
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL) as child:
        while child.poll() is None:
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            most = max(most, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
            time.sleep(0.01)
    assert child.returncode == 0
    return most << 10


def test_the_estimate_of_memory_is_near_the_measured_peak(tmp_path: Path):
    imports = "import transformers.models.llama.modeling_llama, accelerate, sklearn.linear_model, trainer.recipes.prm"
    base = peak("-c", imports + ", sklearn.feature_extraction.text, time; time.sleep(0.3)")
    torch.manual_seed(0)
    rows = story_rows(60)
    tokenizer = make_tiny([text for row in rows for text in (row.problem, *row.steps)], 0).tokenizer
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=6,
        num_attention_heads=8,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    folder = prm_run(
        tmp_path / "run", rows, model=str(tmp_path / "model"), max_steps=2, batch_size=48, micro_batch=48, threads=2
    )
    shape = ModelShape(5_010_000, 256, 688, 6, 1024)
    longest = max(len(tokenizer(row.problem + "\n" + "\n".join(row.steps))["input_ids"]) for row in rows)
    tokens = tokens_in_a_pass(48, longest, on_cpu=True, micro_batch=48)
    said = estimate_prm(
        shape, trainable=5_010_000, trained_layers=6, batch=48, length=longest, pass_tokens=tokens, base_bytes=base
    )
    measured = peak("-m", "trainer", str(folder.path))
    assert measured - base > 100 << 20  # more than the imports is at stake
    # The allocator keeps up to a fifth more from one run to the next.
    assert said.memory_bytes == pytest.approx(measured, rel=0.25)
