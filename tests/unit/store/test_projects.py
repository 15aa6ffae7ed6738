"""Projects and people."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import ConflictError, NotFoundError
from studio.store import projects
from tests.unit.store.making import add_traces, small


def test_a_project_is_made_found_and_changed(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        made = projects.create(c, " Geometry ", mode="phase 2", overlap=2, guideline="Rate each step.")
        assert projects.by_name(c, "Geometry") == made
        assert (made.name, made.overlap, made.guideline_version, made.traces) == ("Geometry", 2, 1, 0)
        projects.update(c, made.id, guideline="Rate every step.", overlap=3)
        after = projects.get(c, made.id)
        assert (after.guideline_version, after.overlap) == (2, 3)
        assert not projects.update(c, made.id, name="Geometry").topics
        assert [project.name for project in projects.all_projects(c)] == ["Algebra", "Geometry"]
    here.database.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "Algebra"}, "already"),
        ({"name": "  "}, "needs a name"),
        ({"name": "X", "overlap": 0}, "at least one"),
        ({"name": "X", "mode": "phase 3"}, "no mode"),
    ],
)
def test_what_a_project_cannot_be(tmp_path: Path, given: dict, says: str) -> None:
    here = small(tmp_path)
    with pytest.raises(ConflictError, match=says):
        here.database.run(lambda c: projects.create(c, **given))
    with here.database.read() as c, pytest.raises(NotFoundError, match="no project 9"):
        projects.get(c, 9)
    here.database.close()


def test_traces_go_to_the_end_of_a_project_once(tmp_path: Path) -> None:
    here = small(tmp_path)
    elsewhere = here.database.run(lambda c: projects.create(c, "Second"))
    more = add_traces(here.database, elsewhere.id, 2)
    changes = here.database.run(lambda c: projects.put_traces(c, elsewhere.id, (*here.traces[:2], *more, more[0])))
    assert changes.traces == set(here.traces[:2])
    with here.database.read() as c:
        assert projects.get(c, elsewhere.id).traces == 4
    here.database.run(lambda c: projects.take_traces(c, elsewhere.id, more[:1]))
    with here.database.read() as c:
        assert projects.get(c, elsewhere.id).traces == 3
    here.database.close()


def test_a_person_is_made_once(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        assert projects.ensure_annotator(c, "Ada") == here.ada
        named = projects.ensure_annotator(c, "Ada", uid="7" * 32, origin="imported")
        assert named.id != here.ada.id
        assert projects.ensure_annotator(c, "whoever", uid="7" * 32) == named
        assert projects.annotator(c, named.id) == named
        with pytest.raises(NotFoundError):
            projects.annotator(c, 99)
    here.database.close()
