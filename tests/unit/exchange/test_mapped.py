"""Records of no known format: what a person says of their fields, and fields that are no texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from studio.errors import ImportFormatError, SteplensError
from studio.exchange import opening
from studio.exchange.transfer import import_files
from studio.store import schema as s
from studio.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


def test_a_mapping_of_ones_own(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"colour": "red", "deep": {"said": "It is blue."}, "n": 3}\n')
    with pytest.raises(ImportFormatError, match="--map"):
        import_files(workspace, [path])
    with pytest.raises(SteplensError, match="FIELD one of problem"):
        import_files(workspace, [path], fields=("reply=x",))
    import_files(workspace, [path], fields=("answer=deep.said", "problem=colour"))
    with workspace.database.read() as c:
        row = c.execute(select(s.trace)).one()
        assert row.text == "red\n\nIt is blue."
        assert c.scalar(select(s.log.c.extra))["fields"] == "problem=colour answer=deep.said"


def test_fields_that_are_no_texts_are_shown(workspace: Workspace, tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "2 + 2?"}]
    rows: list[dict[str, Any]] = [
        {"prompt": "2 + 2?", "thinking": "two and two", "response": "4"},
        {"prompt": asked, "thinking": ["two", "and two"], "response": 4},
        {"prompt": {"x": 1}, "thinking": False, "response": {"y": None}},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert import_files(workspace, [path]).broken == 0
    with workspace.database.read() as c:
        found = c.execute(select(s.trace.c.text, s.problem.c.prompt).join(s.problem).order_by(s.trace.c.id)).all()
    assert [tuple(row) for row in found] == [
        ("2 + 2?\n\ntwo and two\n\n4", "2 + 2?"),
        ("s\n\n2 + 2?\n\ntwo\n\nand two\n\n4", "2 + 2?"),
        ('{"x": 1}\n\n{"y": null}', '{"x": 1}'),
    ]
    path.write_text("\n".join(map(json.dumps, [{"prompt": asked, "response": "4"}] * 2)))
    assert [trace.problem for trace in opening.open_file(path).traces(0)] == ["2 + 2?"]
