"""Estimates before the start: memory and disk follow from the model's shape and the settings; time says its basis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.jobs.estimate import estimate
from studio.jobs.needs import shape_of
from studio.jobs.values import RunOrder
from studio.store.rows import Counts, Selection
from studio.workspace import Workspace
from trainer.contract.records import Split
from trainer.contract.spec import Value, build, parameters

MIB = 1 << 20


@pytest.fixture
def workspace(tmp_path: Path):
    with Workspace.open(tmp_path / "w", create=True) as made:
        yield made


def llama(folder: Path) -> Path:
    """A folder that looks like the 5 M Llama of the measurements: its configuration and as many bytes of weights."""
    folder.mkdir()
    config = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "vocab_size": 1024}
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    (folder / "model.safetensors").write_bytes(b"\0" * (4 * 5_010_000))
    return folder


def order(**given: Value) -> RunOrder:
    return RunOrder("prm", parameters(build("prm", dict(given))), Selection())


def counts(rows: int = 1000, characters: int = 500_000, steps: int = 10_000) -> Counts:
    longest = characters // rows
    return Counts(rows, rows, steps, characters, longest, {Split.TRAIN: rows}, 0.0, 0.0, float(steps))


def test_memory_is_that_of_the_measured_worker(workspace: Workspace, tmp_path: Path):
    """The worker with this model, batch 8 and 192-token rows was measured at 961 MB with whole-batch passes."""
    asked = order(model=str(llama(tmp_path / "m")), batch_size=8, micro_batch=8, max_length=192)
    said = estimate(workspace, asked, counts())
    assert said.memory_bytes is not None
    assert 600 * MIB < said.memory_bytes < 1200 * MIB


def test_the_shape_is_read_from_the_folder(workspace: Workspace, tmp_path: Path):
    shape = shape_of(workspace, order(model=str(llama(tmp_path / "m"))), 5_010_000)
    assert (shape.hidden, shape.feed_forward, shape.layers, shape.vocabulary) == (256, 688, 6, 1024)


def test_training_less_needs_less(workspace: Workspace, tmp_path: Path):
    model = str(llama(tmp_path / "m"))
    ways = [{"adapt": "all weights"}, {"adapt": "last layers", "last_layers": 2}, {"adapt": "head only"}]
    need = [estimate(workspace, order(model=model, **way), counts()) for way in ways]
    memory = [n.memory_bytes for n in need]
    disk = [n.disk_bytes for n in need]
    assert memory == sorted(set(memory), reverse=True)
    assert disk == sorted(set(disk), reverse=True)


def test_longer_rows_need_more_memory_until_they_are_cut(workspace: Workspace, tmp_path: Path):
    model = str(llama(tmp_path / "m"))

    def memory(max_length: int, characters: int) -> int:
        asked = order(model=model, max_length=max_length, batch_size=4, micro_batch=4)
        said = estimate(workspace, asked, counts(characters=characters)).memory_bytes
        assert said is not None
        return said

    assert memory(512, 200_000) < memory(512, 800_000)
    assert memory(64, 800_000) == memory(64, 1_600_000)


def test_a_model_that_is_not_here_says_so(workspace: Workspace):
    said = estimate(workspace, order(model="somebody/something"), counts())
    assert (said.seconds, said.memory_bytes, said.disk_bytes) == (None, None, None)
    assert "not on this machine" in said.basis


def test_traces_are_estimated_from_their_budgets(workspace: Workspace, tmp_path: Path):
    """Time and disk grow with the traces and with both budgets, memory with what is written at once."""
    model = str(llama(tmp_path / "m"))

    def said(**given: Value):
        asked = RunOrder("generate", parameters(build("generate", {"model": model, **given})), Selection())
        return estimate(workspace, asked, counts(rows=100, characters=20_000))

    few = said(n=2, max_thinking_tokens=100, max_answer_tokens=28)
    many = said(n=8, max_thinking_tokens=100, max_answer_tokens=28)
    long = said(n=2, max_thinking_tokens=400, max_answer_tokens=112)
    assert "at most 33,292 tokens" in few.basis  # 20,000 characters at 2.6 a token, 100 x 2 x 128 drawn
    assert few.seconds is not None
    assert few.seconds < many.seconds == pytest.approx(long.seconds)  # type: ignore[operator]
    assert few.memory_bytes == many.memory_bytes < long.memory_bytes  # type: ignore[operator]
    assert few.disk_bytes < many.disk_bytes == long.disk_bytes  # type: ignore[operator]
    assert said(n=2, batch_rows=8).memory_bytes < said(n=2).memory_bytes  # type: ignore[operator]


def test_an_evaluation_is_estimated_from_its_samples_and_every_cap(workspace: Workspace, tmp_path: Path):
    """As many answers as samples and caps ask for, each as long as its own cap; a preset counts as its figures."""
    model = str(llama(tmp_path / "m"))

    def said(**given: Value):
        asked = RunOrder("evaluate", parameters(build("evaluate", {"model": model, **given})), Selection())
        return estimate(workspace, asked, counts(rows=100, characters=20_000))

    one = said(n=2, max_thinking_tokens=100, max_answer_tokens=28)
    assert "at most 33,292 tokens" in one.basis  # as the same traces of generate
    assert "at most 78,892 tokens" in said(n=2, budgets="100,200", max_answer_tokens=28).basis  # 100 x 2 x (128 + 228)
    low, by_hand = said(compute="low"), said(n=4, max_thinking_tokens=512, max_answer_tokens=256)
    assert (low.seconds, low.memory_bytes, low.disk_bytes) == (
        by_hand.seconds,
        by_hand.memory_bytes,
        by_hand.disk_bytes,
    )
    assert "about 7,692 tokens" in said(suite="processbench", prm=model).basis  # what is read
