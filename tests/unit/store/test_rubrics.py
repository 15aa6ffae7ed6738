"""Rubrics by rule: found verbatim, clustered, forgotten with a new version."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import ConflictError, FindError
from studio.store import batches, projects, rubrics, traces
from studio.store.find_pattern import Mode
from studio.store.rubrics import Draft, Example
from studio.workspace import Workspace

TEXTS = ("Wait, that is wrong.", "wait,  that is wrong. Wait: no.", "All is well.", "We await it.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Workspace.open(tmp_path / "w", create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for text in TEXTS:
            traces.add(c, traces.from_steps("Wait for it?", [text]), batch_id=batch, project_id=project)
        batches.publish(c, batch, {})
    return tmp_path / "w"


def run(opened: Workspace, rubric_id: int) -> None:
    rubric = opened.database.run(lambda c: rubrics.start(c, rubric_id))
    after: int | None = 0
    while after is not None:
        with opened.database.read() as c:
            hits, after = rubrics.find(c, rubric.draft, after=after)
        opened.database.run(lambda c, hits=hits: rubrics.store(c, rubric, hits))


def test_a_rule_finds_clusters_and_forgets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rubrics, "TRACES_AT_ONCE", 1)
    draft = Draft("Doubt", "Turns back.", r"\bwait\b[^.]*\.", Mode.REGEX)
    with Workspace.open(folder) as opened:
        made = opened.database.run(lambda c: rubrics.save(c, draft))
        run(opened, made)
        run(opened, made)
        with opened.database.read() as c:
            found = rubrics.clusters(c, made)
            assert [(one.name, len(one.hits), one.traces) for one in found] == [
                ("wait, that is wrong.", 2, 2),
                ("wait: no.", 1, 1),
            ]
            for hit in (hit for one in found for hit in one.hits):
                assert traces.load(c, hit.trace_id).text[hit.start : hit.end] == hit.quote
            assert rubrics.get(c, made).traces == 2
        renamed = Draft("Doubts", "Turns back.", draft.text, draft.mode)
        opened.database.run(lambda c: rubrics.save(c, renamed, made))
        with opened.database.read() as c:
            assert rubrics.get(c, made).version == 1
        opened.database.run(lambda c: rubrics.save(c, Draft("Doubts", "", "well"), made))
        with opened.database.read() as c:
            assert rubrics.get(c, made).version == 2
            assert rubrics.clusters(c, made) == ()
        opened.database.run(lambda c: rubrics.remove(c, made))
        with opened.database.read() as c:
            assert rubrics.all_of(c) == ()


def test_examples_say_what_the_rule_gets_wrong() -> None:
    good, missed, wrong = Example(True, "Wait, no."), Example(True, "Hold on."), Example(False, "Wait for the bus.")
    assert rubrics.failing_examples(Draft("d", "", "wait", examples=(good, missed, wrong))) == (missed, wrong)


def test_what_cannot_be_saved(folder: Path) -> None:
    with Workspace.open(folder) as opened:
        opened.database.run(lambda c: rubrics.save(c, Draft("One", "", "a")))
        with pytest.raises(ConflictError, match="already"):
            opened.database.run(lambda c: rubrics.save(c, Draft("One", "", "b")))
        with pytest.raises(ConflictError, match="name"):
            opened.database.run(lambda c: rubrics.save(c, Draft(" ", "", "b")))
        with pytest.raises(FindError):
            opened.database.run(lambda c: rubrics.save(c, Draft("Two", "", "(", Mode.REGEX)))
