"""Every run that a run builds on: those that made its models, wrote the traces of its rows, or labelled them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from studio.errors import RunError
from studio.jobs import roles
from studio.store import models, runs
from studio.store import schema as s
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract.records import InputRow, Split
from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.spec import RunSpec

_CHUNK = 500  # ids in one IN (...)
SELF, WROTE, LABELLED = "", "wrote rows of", "labelled rows of"


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run on the way. `of` is the uid of the run that builds on it ("" for the first), `role` what it did for that.

    `learned`: a model came of it, so its training rows are in that model.
    """

    run: StoredRun
    of: str
    role: str
    learned: bool


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The run itself first, then what it builds on, nearest first; `outside`: models from elsewhere, told."""

    runs: tuple[Ancestor, ...]
    outside: tuple[str, ...]


def ancestry(workspace: Workspace, run: StoredRun) -> Ancestry:
    """Follow every model and every row as far as this workspace knows. Raises RunError where a folder is unreadable."""
    with workspace.database.read() as c:
        return _Search(workspace, c).of(run)


def training_rows(workspace: Workspace, run: StoredRun) -> Iterator[InputRow]:
    """The rows that a run learns from, as its folder froze them. Raises RunError."""
    for row in _rows(workspace, run):
        if row.split is Split.TRAIN:
            yield row


class _Search:
    def __init__(self, workspace: Workspace, c: Connection) -> None:
        self._workspace, self._c = workspace, c
        self._makers: dict[str, list[int]] = {}
        self._learned: set[int] = set()
        for model in models.all_models(c):
            if model.run_id is not None:
                self._makers.setdefault(model.checksum, []).append(model.run_id)
                self._learned.add(model.run_id)

    def of(self, first: StoredRun) -> Ancestry:
        found = {first.id: Ancestor(first, "", SELF, True)}
        outside: dict[str, None] = {}
        waiting = [first]
        for run in waiting:
            spec = self._spec(run)
            outside |= dict.fromkeys(self._from_elsewhere(run, spec))
            for id, role in self._before(run, spec):
                if id not in found:
                    before = runs.get(self._c, id)
                    found[id] = Ancestor(before, run.uid, role, id in self._learned)
                    waiting.append(before)
        return Ancestry(tuple(found.values()), tuple(outside))

    def _before(self, run: StoredRun, spec: RunSpec) -> Iterator[tuple[int, str]]:
        for model in spec.models:
            for maker in self._makers.get(model.checksum, ()):
                if maker != run.id:
                    yield maker, f"made the {model.role} of"
        traces = list(dict.fromkeys(row.trace for row in training_rows(self._workspace, run) if row.trace))
        for id in self._writers(traces):
            yield id, WROTE
        if spec.selection.get("machine"):
            for id in self._labellers(traces, str(spec.selection["machine"])):
                yield id, LABELLED

    def _from_elsewhere(self, run: StoredRun, spec: RunSpec) -> Iterator[str]:
        for model in spec.models:
            if model.checksum not in self._makers:
                yield f"the {model.role} {model.name or model.path!r} of run {run.name!r}"
        there = {model.role for model in spec.models}
        for role in roles.roles_of(spec.recipe):  # a name on a hub has no files here
            named = str(spec.parameters.get(role.name, ""))
            if named and role.name not in there and not (role.scratch and named == roles.TINY):
                yield f"the {role.name} {named!r} of run {run.name!r}"

    def _writers(self, traces: Sequence[str]) -> list[int]:
        return self._ids(select(s.batch.c.run_id).join(s.trace, s.trace.c.batch_id == s.batch.c.id).distinct(), traces)

    def _labellers(self, traces: Sequence[str], method: str) -> list[int]:
        query = (
            select(s.batch.c.run_id)
            .join(s.machine_label, s.machine_label.c.batch_id == s.batch.c.id)
            .join(s.trace, s.trace.c.id == s.machine_label.c.trace_id)
            .where(s.machine_label.c.method == method)
            .distinct()
        )
        return self._ids(query, traces)

    def _ids(self, query: Select[Any], traces: Sequence[str]) -> list[int]:
        found: set[int] = set()
        for at in range(0, len(traces), _CHUNK):
            rows = self._c.execute(query.where(s.trace.c.uid.in_(traces[at : at + _CHUNK])))
            found.update(row.run_id for row in rows if row.run_id is not None)
        return sorted(found)

    def _spec(self, run: StoredRun) -> RunSpec:
        try:
            return RunFolder(self._workspace.path / run.folder).read_spec()
        except (RunFolderError, OSError) as error:
            raise RunError(f"run {run.name!r} cannot be read: {error}") from error


def _rows(workspace: Workspace, run: StoredRun) -> Iterable[InputRow]:
    try:
        yield from RunFolder(workspace.path / run.folder).read_input()
    except (RunFolderError, OSError) as error:
        raise RunError(f"run {run.name!r} cannot be read: {error}") from error
