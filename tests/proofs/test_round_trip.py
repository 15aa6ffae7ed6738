"""Proof: what comes in as PRM800K goes out as it came, built from the tables alone.

STEPLENS_PROOF=full: 2,000 generated records; else 300.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import delete, func, select

from studio.exchange.exporter import ExportQuery
from studio.exchange.transfer import export_file, import_files
from studio.store import annotations, projects
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.workspace import Workspace
from tests.unit.exchange.records import Generator, Record, exact
from trainer.contract.records import Rating

FULL = os.environ.get("STEPLENS_PROOF") == "full"
GENERATED = 2000 if FULL else 300
CHANGED = 50 if FULL else 10


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def through(workspace: Workspace, source: Path) -> list[Record]:
    """The records of a file after import and export, the raw bytes deleted in between."""
    report = import_files(workspace, [source], "Round trip")
    assert report.broken == 0, report.errors
    with workspace.database.write() as c:
        assert c.scalar(select(func.count()).select_from(i.raw_record)) > 0
        c.execute(delete(i.raw_record))
    return exported(workspace)


def exported(workspace: Workspace) -> list[Record]:
    out = workspace.path / "out.jsonl"
    export_file(workspace, out, ExportQuery())
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def assert_equal(found: list[Record], source: list[Record]) -> None:
    for number, (mine, theirs) in enumerate(zip(found, source, strict=True), 1):
        assert exact(mine) == exact(theirs), f"row {number}"


@pytest.mark.needs_data
@pytest.mark.parametrize("name", ["chosen_path_raw_schema.jsonl", "raw_original.jsonl"])
def test_every_real_row_comes_back(workspace: Workspace, data_dir: Path, name: str) -> None:
    source = data_dir / "prm800k" / name
    if not source.exists():
        pytest.skip(f"{source} is not here")
    assert_equal(through(workspace, source), [json.loads(line) for line in source.read_bytes().splitlines()])


@pytest.mark.parametrize("seed", [1, 2])
def test_every_generated_record_comes_back(workspace: Workspace, tmp_path: Path, seed: int) -> None:
    generator = Generator(seed)
    source = tmp_path / "generated.jsonl"
    lines = [generator.line(record) for record in generator.records(GENERATED // 2)]
    source.write_bytes(b"".join(lines))
    assert_equal(through(workspace, source), [json.loads(line) for line in lines])


def test_one_changed_rating_changes_exactly_that_field(workspace: Workspace, tmp_path: Path) -> None:
    generator = Generator(3)
    source = tmp_path / "generated.jsonl"
    source.write_bytes(b"".join(generator.line(record) for record in generator.records(GENERATED // 4)))
    before = through(workspace, source)
    with workspace.database.write() as c:
        admin = projects.ensure_annotator(c, "Admin", role="admin").id
        query = select(s.annotation.c.id, s.annotation.c.line, s.rating.c.ordinal, s.rating.c.option, s.rating.c.value)
        rows = c.execute(query.join(s.rating).where(s.rating.c.value.is_not(None))).all()
    for row in generator.random.sample(rows, CHANGED):
        value = Rating(-1 if row.value >= 0 else 1)
        workspace.database.run(
            lambda c, row=row, value=value: annotations.rate_annotation(
                c, row.id, admin, row.ordinal, value, option=row.option
            )
        )
        after = exported(workspace)
        places = [place for old, new in zip(before, after, strict=True) for place in differences(old, new)]
        assert len(places) == 1, places
        assert places[0].path[:2] == ("label", "steps")
        assert places[0].path[-1] == "rating"
        assert (places[0].old, places[0].new) == (row.value, int(value))
        assert exact(after[row.line - 1]) != exact(before[row.line - 1])
        before = after


class Difference(NamedTuple):
    path: tuple[str | int, ...]
    old: object
    new: object


def differences(old: object, new: object, path: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from differences(old[key], new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (mine, theirs) in enumerate(zip(old, new, strict=True)):
            yield from differences(mine, theirs, (*path, at))
    elif exact(old) != exact(new):
        yield Difference(path, old, new)
