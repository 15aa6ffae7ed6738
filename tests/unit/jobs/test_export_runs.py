"""Every figure of runs as CSV and as event files, against bytes that TensorBoard's own writer made."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio import cli
from studio.jobs import export
from studio.jobs.compare import read_side
from studio.workspace import Workspace
from tests.unit.jobs.test_track import Book
from tests.unit.jobs.told_runs import made_run, story_house
from trainer.contract import events
from trainer.contract.run_folder import RunFolder

# What tensorboard 2.21 (its RecordWriter and its protocol buffers) writes for the events of `tell` below.
GOLDEN = (
    "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"
    "200000000000000029eda95009000000000000f03f10012a130a110a0a747261696e2f6c6f7373150000403faf1b0921"
    "200000000000000029eda95009000000000000004010022a130a110a0a747261696e2f6c6f7373150000003f724ee0a8"
    "3c00000000000000c8b7a35209000000000000044010022a2f0a150a0e76616c69646174696f6e2f617563150000503f"
    "0a160a0f76616c69646174696f6e2f6c6f7373150000203fa3040394"
    "2100000000000000017becf6090000000000c0724010ac022a130a110a0a747261696e2f6c6f737315cdcccc3da927853c"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with story_house(tmp_path) as made:
        yield made


def tell(book: Book) -> None:
    """The events of the golden bytes, in two attempts; what the second does again no longer counts."""
    book.loss(1, 0.75)
    book.loss(2, 0.9)
    book.loss(5, 0.8)
    book.new_attempt(1)
    book.loss(2, 0.5)
    values = {"auc": 0.8125, "loss": 0.625}
    event = events.Metrics(attempt=2, sequence=9, step=2, at=2.5, split="validation", values=values)
    with book.folder.events.open("ab") as out:
        out.write(events.encoder.encode(event) + b"\n")
    book.sequence = 9
    book.loss(300, 0.1)


def test_the_check_sums_are_those_of_the_rfc() -> None:
    assert export.crc32c(b"123456789") == 0xE3069283
    assert export.crc32c(bytes(32)) == 0x8A9136AA
    assert export.crc32c(bytes(range(32))) == 0x46DD794E, "RFC 3720, B.4"
    assert export.crc32c(b"") == 0


def test_an_event_file_is_what_tensorboard_writes(workspace: Workspace) -> None:
    run = made_run(workspace, "golden", {})
    folder = RunFolder(workspace.path / run.folder)
    tell(Book(folder.path))
    out = io.BytesIO()
    assert export.write_event_file(out, read_side(workspace, run), export.times_of(folder)) == 5
    assert out.getvalue().hex() == GOLDEN


def test_large_odd_and_negative_values_are_packed() -> None:
    packed = export.scalar_event(1.0, 2**40, [("x", 1e300), ("y", float("nan")), ("z", -1e300)])
    assert packed.count(struct.pack("<f", float("inf"))) == 1
    assert packed.count(struct.pack("<f", float("-inf"))) == 1
    assert struct.pack("<f", float("nan")) in packed
    assert b"\x10\x80\x80\x80\x80\x80\x20" in packed, "2**40 as a varint of field 2"


def test_the_csv_has_every_point_exactly(workspace: Workspace, tmp_path: Path) -> None:
    losses = {1: 0.1 + 0.2, 2: -1e17, 3: 1e-300}
    first, second = made_run(workspace, "one, two", losses, seed=4), made_run(workspace, "b", {7: 1.5})
    made_run(workspace, "not wanted", {1: 9.0})
    out = tmp_path / "out"
    words = ["runs", "--workspace", str(workspace.path), "--export", str(out)]
    assert cli.main([*words, "--run", first.uid[:8], "b"]) == 0
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["split"], int(row["step"]), row["name"], repr(float(row["value"]))) for row in rows] == [
        *((first.uid, "train", step, "loss", repr(value)) for step, value in losses.items()),
        (second.uid, "train", 7, "loss", "1.5"),
    ]
    with (out / "runs.csv").open(newline="", encoding="utf-8") as file:
        about = {row["run"]: row for row in csv.DictReader(file)}
    assert [about[first.uid]["name"], json.loads(about[first.uid]["parameters"])["seed"]] == ["one, two", 4]
    assert sorted(path.name for path in out.iterdir()) == ["metrics.csv", "runs.csv"], "nothing is left aside"


def test_tensorboard_gets_a_folder_for_each_run(workspace: Workspace, tmp_path: Path) -> None:
    runs = [made_run(workspace, name, {1: 0.5, 2: 0.25}) for name in ("a/b: c", "a/b: c", "../x")]
    out = tmp_path / "out"
    words = ["runs", "--workspace", str(workspace.path), "--export", str(out), "--format", "tensorboard"]
    for _ in range(2):  # a second export takes the place of the first
        assert cli.main(words) == 0
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    heads = ("a-b-c", "a-b-c", "x")
    wanted = [f"{head}-{run.uid[:8]}/events.out.tfevents.1.steplens" for head, run in zip(heads, runs, strict=True)]
    assert files == sorted(wanted)


def test_a_folder_that_cannot_be_written_is_named(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("here")
    assert cli.main(["runs", "--workspace", str(workspace.path), "--export", str(tmp_path / "file")]) == 1
    assert "choose a folder you may write to" in capsys.readouterr().err
