"""From a model to every annotation and revision, and from an annotation to all that builds on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from studio import cli
from studio.errors import NotFoundError
from studio.exchange.sample import STORIES
from studio.jobs.lineage import Lineage, of_name
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import annotations, models, runs
from studio.store import schema as s
from studio.store.rows import Selection
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from tests.unit.jobs.told_runs import made_run, story_house
from trainer.contract.records import Rating
from trainer.contract.run_folder import RunFolder, sha256_of_folder


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with story_house(tmp_path) as made:
        yield made


def with_model(workspace: Workspace, run: StoredRun) -> str:
    """The run has made a model; its name."""
    folder = workspace.path / run.folder / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights").write_text(run.uid)
    checksum = sha256_of_folder(folder)
    workspace.database.run(
        lambda c: models.register(
            c, run_id=run.id, name=run.name, kind="prm", folder=f"{run.folder}/model", checksum=checksum, base="",
            summary={},
        )
    )  # fmt: skip
    return run.name


def scoring(workspace: Workspace, model: str, name: str) -> StoredRun:
    """A run that uses a model and learns from nothing."""
    uid = create_run(workspace, RunOrder("score", {"model": model}, Selection(projects=(STORIES,)), name))
    with workspace.database.read() as c:
        return runs.by_uid(c, uid)


def lineage(workspace: Workspace, name: str) -> Lineage:
    with workspace.database.read() as c:
        return of_name(c, name)


def change(workspace: Workspace, uid: str) -> None:
    """Somebody corrects an annotation."""
    with workspace.database.read() as c:
        row = c.execute(select(s.annotation.c.id, s.annotation.c.annotator_id).where(s.annotation.c.uid == uid)).one()
    workspace.database.run(lambda c: annotations.rate_annotation(c, row.id, row.annotator_id, 0, Rating.NEUTRAL))


def test_a_model_leads_to_every_revision_and_an_annotation_to_every_run(workspace: Workspace) -> None:
    first = made_run(workspace, "first", {})
    scored = scoring(workspace, with_model(workspace, first), "scored")
    other = made_run(workspace, "other", {}, selection=Selection(limit=3))
    rows = list(RunFolder(workspace.path / first.folder).read_input())
    sources = {(ref.annotation, ref.revision) for row in rows for ref in row.sources}
    found = lineage(workspace, "first")
    assert {(use.annotation, use.used) for use in found.annotations} == sources, "those that the rows name"
    assert [node.name for node in found.before] == ["first"]
    assert [node.name for node in found.after] == ["scored"]
    assert not found.stale
    back = lineage(workspace, scored.uid)
    assert [node.name for node in back.before] == ["scored", "first"]
    assert {(use.annotation, use.used) for use in back.annotations} == sources
    assert (back.after, back.outside) == ((), ())
    only_first, in_both = rows[-1].sources[0].annotation, rows[0].sources[0].annotation
    assert {node.name for node in lineage(workspace, only_first).after} == {"first", "scored"}
    assert {node.name for node in lineage(workspace, in_both).after} == {"first", "scored", "other"}
    assert lineage(workspace, other.uid[:8]).uid == other.uid


def test_a_change_shows_in_both_directions(workspace: Workspace) -> None:
    first = made_run(workspace, "first", {})
    with_model(workspace, first)
    scored = scoring(workspace, first.name, "scored")
    other = made_run(workspace, "other", {}, selection=Selection(limit=3))
    last = list(RunFolder(workspace.path / first.folder).read_input())[-1].sources[0]
    change(workspace, last.annotation)
    found = lineage(workspace, scored.uid)
    (changed,) = (use for use in found.annotations if use.changed)
    assert (changed.annotation, changed.used, changed.run) == (last.annotation, last.revision, first.uid)
    assert changed.now > last.revision
    assert [(node.name, node.changed, node.stale_from) for node in found.before] == [
        ("scored", 0, (first.uid,)),
        ("first", 1, (first.uid,)),
    ]
    down = lineage(workspace, last.annotation)
    assert [(node.name, node.stale) for node in down.after] == [("first", True), ("scored", True)]
    assert not lineage(workspace, other.uid).stale
    with workspace.database.read() as c:
        assert (runs.get(c, first.id).stale, runs.get(c, other.id).stale) == (1, 0), "as the table of runs shows it"


def test_a_model_from_elsewhere_is_named(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    found = lineage(workspace, scoring(workspace, str(folder), "scored").uid)
    assert found.outside == (f"model: theirs {sha256_of_folder(folder)[:12]}",)


def test_the_verb_tells_it(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    first = made_run(workspace, "first", {})
    name = with_model(workspace, first)
    scoring(workspace, name, "scored")
    source = next(RunFolder(workspace.path / first.folder).read_input()).sources[0]
    change(workspace, source.annotation)
    words = ["lineage", f"{first.folder}/model", "--workspace", str(workspace.path)]
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["uid"], told["stale"], [node["stale"] for node in told["after"]]) == (first.uid, True, [True])
    assert [use["annotation"] for use in told["annotations"] if use["changed"]] == [source.annotation]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "stale: 1 of its" in text
    assert f"stale through {first.uid[:8]}" in text
    assert f"{source.annotation} of" in text
    with pytest.raises(NotFoundError, match="no model, run or annotation"):
        lineage(workspace, "nobody")
