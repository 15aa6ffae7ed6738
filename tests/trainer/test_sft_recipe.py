"""The sft recipe on run folders: what it writes, what it tells, how it goes on. In this process."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainer.runs import all_events, demonstration_rows, ended, live_events, metrics, sft_run
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.records import SourceRef, Split, Votes
from trainer.contract.run_folder import RunFolder, sha256_of_folder
from trainer.models import language
from trainer.recipes import sft
from trainer.runtime.worker import run_attempt

replace = msgspec.structs.replace


def train(folder: RunFolder) -> int:
    return run_attempt(folder.path, lambda _: sft.run)


def notices(folder: RunFolder) -> dict[str, list[events.Notice]]:
    found: dict[str, list[events.Notice]] = {}
    for event in live_events(folder):
        if isinstance(event, events.Notice):
            found.setdefault(event.code, []).append(event)
    return found


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    rows = [replace(row, sources=(SourceRef(f"a-{i}", i % 3 + 1),)) for i, row in enumerate(demonstration_rows(150))]
    folder = sft_run(tmp_path_factory.mktemp("sft") / "run", rows, max_steps=9, eval_every=3, checkpoint_every=4)
    assert train(folder) == 0, ended(folder).traceback
    return folder


def test_the_curves(taught: RunFolder):
    figures = metrics(taught, "train")
    assert [step for step, _ in figures] == list(range(1, 10))
    assert set(figures[0][1]) == {"loss", "grad_norm", "accuracy", "learning_rate"}
    assert figures[-1][1]["loss"] < figures[0][1]["loss"]
    validation = metrics(taught, "validation")
    assert [step for step, _ in validation] == [3, 6, 9]
    assert all(math.isclose(v["perplexity"], math.exp(v["loss"])) for _, v in validation)
    assert metrics(taught, "test")[0][0] == 10
    started = next(event for event in all_events(taught) if isinstance(event, events.Started))
    assert (started.recipe, started.total_steps) == ("sft", 9)


def test_the_result_is_a_plain_folder_that_measures_as_it_says(taught: RunFolder):
    model = AutoModelForCausalLM.from_pretrained(taught.model)
    tokenizer = AutoTokenizer.from_pretrained(taught.model)
    loss, count = 0.0, 0
    for row in taught.read_input():
        if row.split is not Split.TEST:
            continue
        prompt = tokenizer(row.problem + "\n")["input_ids"]
        ids = torch.tensor(prompt + tokenizer(row.response)["input_ids"] + [tokenizer.eos_token_id])
        with torch.no_grad():
            logits = model(ids[None]).logits[0].double()
        loss += float(F.cross_entropy(logits[len(prompt) - 1 : -1], ids[len(prompt) :], reduction="sum"))
        count += len(ids) - len(prompt)
    told = metrics(taught, "test")[0][1]
    assert told["n_tokens"] == count
    assert told["loss"] == pytest.approx(loss / count, rel=1e-5)
    summary = ended(taught).summary
    assert summary["test_loss"] == pytest.approx(told["loss"])


def test_card_lineage_and_checksum(taught: RunFolder, tmp_path: Path):
    card = (taught.model / "MODEL_CARD.md").read_text()
    assert "library_name: transformers" in card
    assert repr("PROBLEM\n") in card
    assert "| max_steps | 9 |" in card
    copy = tmp_path / "copy"
    shutil.copytree(taught.model, copy)
    (copy / "MODEL_CARD.md").unlink()
    assert sha256_of_folder(copy) in card
    lineage = json.loads((taught.model / "lineage.json").read_text())
    rows = taught.read_input()
    expected: dict[str, dict[str, int]] = {split.value: {} for split in Split}
    for row in rows:
        expected[row.split.value] |= {source.annotation: source.revision for source in row.sources}
    assert lineage["annotations"] == expected
    assert lineage["rows"] == {split.value: len(part) for split, part in expected_rows(taught).items()}


def expected_rows(folder: RunFolder) -> dict[Split, list[object]]:
    found: dict[Split, list[object]] = {split: [] for split in Split}
    for row in folder.read_input():
        found[row.split].append(row)
    return found


def test_what_is_left_out_or_cut_is_told_by_split(tmp_path: Path):
    rows = demonstration_rows(60)
    wrong = (Votes(negative=1.0), *(None,) * (len(rows[0].steps) - 1))
    rows[0] = replace(rows[0], votes=wrong, split=Split.TRAIN)
    rows[1] = replace(rows[1], response=" ", split=Split.TRAIN)
    rows[2] = replace(rows[2], problem="Add 1. " * 40, split=Split.TEST)
    rows[3] = replace(rows[3], response=None, steps=("9 + 9 = 18",) * 30, split=Split.VALIDATION)
    folder = sft_run(tmp_path / "run", rows, max_steps=2, max_length=90, budget="LCPO exact")
    assert train(folder) == 0, ended(folder).traceback
    told = notices(folder)
    assert [(e.message.split(":")[0], e.counts["rows"]) for e in told["rows_rated_wrong"]] == [("train", 1)]
    assert [(e.message.split(":")[0], e.counts["rows"]) for e in told["rows_without_response"]] == [("train", 1)]
    assert {e.message.split(":")[0] for e in told["rows_cut"]} == {"validation", "test"}
    assert [(e.message.split(":")[0], e.counts["rows"]) for e in told["rows_without_completion"]] == [("test", 1)]
    assert [(e.message.split(":")[0], e.counts["rows"]) for e in told["rows_without_thinking"]] == [("validation", 1)]
    assert "Think for 100 tokens." in (folder.model / "MODEL_CARD.md").read_text()
    assert "| train: rows rated wrong | 1 |" in (folder.model / "MODEL_CARD.md").read_text()


def test_nothing_to_learn_fails_and_says_what_to_do(tmp_path: Path):
    folder = sft_run(
        tmp_path / "run", [replace(row, problem="Add 1. " * 40) for row in demonstration_rows(20)], max_length=32
    )
    assert train(folder) == 1
    assert "raise max_length" in ended(folder).message
    folder = sft_run(tmp_path / "chat", demonstration_rows(20), prompt="chat template")
    assert train(folder) == 1
    assert "no chat template; choose the plain prompt" in ended(folder).message


def test_a_batch_that_is_not_finite_is_skipped_and_told_and_three_end_the_run(tmp_path: Path, monkeypatch):
    folder = sft_run(tmp_path / "run", demonstration_rows(60), max_steps=8)
    real, calls = language.Language.forward, []

    def broken(self: language.Language, batch: language.TextBatch) -> language.TokenLoss:
        found = real(self, batch)
        calls.append(1)
        return language.TokenLoss(found.loss * math.nan, found.hits) if len(calls) in (2, 5, 6, 7) else found

    monkeypatch.setattr(language.Language, "forward", broken)
    assert train(folder) == 1
    assert [e.step for e in notices(folder)["not_finite"]] == [2, 5, 6, 7]
    assert "lower the learning rates" in ended(folder).message
    steps = dict(metrics(folder, "train"))
    assert "loss" not in steps[2]
    assert "loss" in steps[3]


def test_packing_changes_no_curve(taught: RunFolder, tmp_path: Path):
    settings = {"max_steps": 9, "eval_every": 3, "checkpoint_every": 4, "micro_batch": 8}
    rows = list(taught.read_input())
    packed = sft_run(tmp_path / "packed", rows, **settings)
    plain = sft_run(tmp_path / "plain", rows, packing=False, **settings)
    assert train(packed) == train(plain) == 0
    for (step, first), (other, second) in zip(metrics(packed, "train"), metrics(plain, "train"), strict=True):
        assert step == other
        assert first["loss"] == pytest.approx(second["loss"], abs=1e-4)
    assert metrics(packed, "test")[0][1]["loss"] == pytest.approx(metrics(plain, "test")[0][1]["loss"], abs=1e-3)


def test_the_best_weights_are_kept(tmp_path: Path):
    rows = demonstration_rows(60)
    folder = sft_run(
        tmp_path / "run", rows, max_steps=12, eval_every=2, checkpoint_every=3, rate=0.5, patience=2, keep_last=1
    )
    assert train(folder) == 0, ended(folder).traceback
    validation = {step: values["loss"] for step, values in metrics(folder, "validation")}
    best = min(validation, key=validation.__getitem__)
    summary = ended(folder).summary
    assert summary["best_step"] == best
    assert summary["validation_loss"] == pytest.approx(validation[best], rel=1e-6)
    assert ended(folder).outcome is Outcome.FINISHED
    assert {path.name for path in folder.checkpoints.iterdir()} == {
        f"step-{s:08d}" for s in {best, int(summary["steps"])}
    }


def test_two_runs_of_one_spec_are_equal_and_another_seed_is_not(taught: RunFolder, tmp_path: Path):
    settings = {"max_steps": 9, "eval_every": 3, "checkpoint_every": 4}
    again = sft_run(tmp_path / "again", taught.read_input(), **settings)
    other = sft_run(tmp_path / "other", taught.read_input(), seed=1, **settings)
    assert train(again) == train(other) == 0
    for split in ("train", "validation", "test"):
        assert metrics(again, split) == metrics(taught, split)
    weights = [(folder.model / "model.safetensors").read_bytes() for folder in (taught, again, other)]
    assert weights[0] == weights[1] != weights[2]
