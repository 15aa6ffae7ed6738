"""What a run made comes into the store exactly once: records under a batch, then its model, then one publication."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import Connection, select, update

from studio.domain import Changes, Topic, changed
from studio.errors import NotFoundError, RunError
from studio.jobs import never_again, processes
from studio.jobs import pins as pinning
from studio.store import (
    batches,
    holds,
    machine_labels,
    models,
    monitor_records,
    routes,
    rubric_records,
    run_traces,
    runs,
    scores,
    searches,
)
from studio.store import schema as s
from studio.store.evaluation_records import store_records as store_evaluations
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import rollouts
from trainer.contract.records import (
    EvaluationRecord,
    FlagRecord,
    MachineLabelRecord,
    MonitorRecord,
    Record,
    RouteRecord,
    ScoreRecord,
    SearchRecord,
    TraceRecord,
)
from trainer.contract.rubrics import RubricRecord
from trainer.contract.run_folder import RunFolder, complete_lines, sha256_of_folder

HOLD_SECONDS = 60.0
PIECE = 1 << 20  # bytes of records read at once
LIVE_PIECE = 1 << 15  # bytes of a resident run's records in one transaction: some hundred traces, a few milliseconds
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a run's records; `elsewhere` when another studio does it, or has done it."""

    stored: int = 0
    known: int = 0
    lost: int = 0
    model: str = ""
    elsewhere: bool = False

    def sentences(self) -> Iterator[str]:
        """For a person."""
        if self.elsewhere:
            yield "another studio has done it, or is at it"
            return
        yield f"{self.stored} records stored, {self.known} known before"
        if self.lost:
            yield f"{self.lost} records belong to traces that are no longer here"
        if self.model:
            yield f"model registered, checksum {self.model[:12]}"


def ingest(workspace: Workspace, uid: str, progress: Progress | None = None) -> Ingested:
    """Ingest an ended run. Raises NotFoundError, RunError, and what `progress` raises; then nothing of it is seen."""
    with workspace.database.read() as c:
        run = runs.by_uid(c, uid)
    if run.state not in runs.ENDED:
        raise RunError(f"run {run.name!r} is {run.state}; it is ingested when it has ended")
    with _Hold(workspace, f"ingest:{uid}") as held:
        if not held:
            return Ingested(elsewhere=True)
        with workspace.database.read() as c:
            run = runs.by_uid(c, uid)
        if not run.needs_ingest:
            return Ingested(elsewhere=True)
        if run.resident:
            return _ingest_rest(workspace, run)
        return _Ingest(workspace, run, progress or (lambda _phase, _done, _total: None)).run()


def ingest_new(workspace: Workspace, run_id: int) -> Ingested:
    """Store, and show at once, what a resident run has written since last time. Raises NotFoundError, RunError.

    Each piece comes in with the byte offset behind it in one transaction, so any number of studios may do it at once.
    """
    total = scores.Stored(0, 0, 0)
    while has_new(workspace, run_id):
        piece = workspace.database.run(lambda c: _store_new(c, workspace, run_id))
        total = total + piece.counts
        if piece.at_end:
            break
    return Ingested(total.stored, total.known, total.lost)


def has_new(workspace: Workspace, run_id: int) -> bool:
    """Whether a run has written records that are not in the store. Raises NotFoundError."""
    with workspace.database.read() as c:
        run = runs.get(c, run_id)
    records = RunFolder(workspace.path / run.folder).records
    return records.exists() and records.stat().st_size > run.ingest_offset


def _ingest_rest(workspace: Workspace, run: StoredRun) -> Ingested:
    """The rest of a resident run that has ended."""
    done = ingest_new(workspace, run.id)
    workspace.database.run(lambda c: _mark_ingested(c, run, 0))
    return done


@dataclass(frozen=True, slots=True)
class _Piece:
    counts: scores.Stored
    at_end: bool
    changes: Changes


def _store_new(c: Connection, workspace: Workspace, run_id: int) -> _Piece:
    run = runs.get(c, run_id)
    records = RunFolder(workspace.path / run.folder).records
    lines, behind = complete_lines(records, run.ingest_offset, LIVE_PIECE)
    if not lines:
        return _Piece(scores.Stored(0, 0, 0), True, Changes())
    found = [line.record for line in _decoded(lines, run.ingest_offset, records)]
    batch = _open_batch(c, run)
    counts = _store(c, batch, found)
    written = [record.id for record in found if isinstance(record, TraceRecord)]
    shown = run_traces.show_new(c, run.id, run.name, batch, written) if written else Changes()
    c.execute(update(s.run).where(s.run.c.id == run_id).values(ingested=s.run.c.ingested + counts.stored))
    _set_offset(c, run_id, behind)
    about_traces = ScoreRecord | MachineLabelRecord | FlagRecord | MonitorRecord
    uids = {record.trace for record in found if isinstance(record, about_traces)}
    touched = select(s.trace.c.id).where(s.trace.c.uid.in_(uids))
    changes = shown | changed(Topic.SCORES, Topic.FLAGS, Topic.RUNS, traces=tuple(c.scalars(touched)), runs=(run_id,))
    return _Piece(counts, records.stat().st_size <= behind, changes)


def _open_batch(c: Connection, run: StoredRun) -> int:
    """The batch that a resident run adds to; it is published from its first record on."""
    known = c.scalar(select(s.batch.c.id).where(s.batch.c.run_id == run.id, s.batch.c.state == batches.PUBLISHED))
    if known is not None:
        return int(known)
    made = batches.begin(c, "ingest", source=run.uid, format=run.recipe, run_id=run.id)
    batches.publish(c, made, {})
    return made


class _Ingest:
    """One ingest, with the hold in hand."""

    def __init__(self, workspace: Workspace, run: StoredRun, tell: Progress) -> None:
        self.workspace, self.database, self.stored_run, self.tell = workspace, workspace.database, run, tell
        self.folder = RunFolder(workspace.path / run.folder)
        self.counts = scores.Stored(0, 0, 0)
        self.batch = 0

    def run(self) -> Ingested:
        self._remove_leftovers()
        run = self.stored_run
        self.batch = self.database.run(
            lambda c: batches.begin(c, "ingest", source=run.uid, format=run.recipe, run_id=run.id)
        )
        try:
            self._store_records()
            self._store_pins()
            model = self._model()
            self.database.run(lambda c: self._publish(c, model))
        except BaseException:
            batches.remove(self.database, self.batch)
            raise
        if model is not None:
            never_again.after(self.workspace, run)
        name = "" if model is None else model.checksum
        return Ingested(self.counts.stored, self.counts.known, self.counts.lost, name)

    def _remove_leftovers(self) -> None:
        """What a killed ingest of this run left: nobody saw it; with it goes the offset it had reached."""
        with self.database.read() as c:
            left = c.scalars(
                select(s.batch.c.id).where(s.batch.c.run_id == self.stored_run.id, s.batch.c.state != batches.PUBLISHED)
            ).all()
        for batch_id in left:
            try:
                batches.remove(self.database, batch_id)
            except NotFoundError:  # the cleaner of another studio was faster
                continue
        self.database.run(lambda c: _set_offset(c, self.stored_run.id, 0))

    def _store_records(self) -> None:
        """Record lines in short transactions, each with the byte offset behind its last line."""
        size = self.folder.records.stat().st_size if self.folder.records.exists() else 0
        offset = 0
        while True:
            lines, behind = complete_lines(self.folder.records, offset, PIECE)
            if not lines:
                return
            piece = _decoded(lines, offset, self.folder.records)
            self.database.write_in_slices(piece, self._store_slice)
            offset = behind
            self.tell("storing what the run made", offset, size)

    def _store_pins(self) -> None:
        """The rollouts that a person pinned; those that were stored before change nothing."""
        pins = rollouts.pins(self.folder.path)
        if pins:
            spec = self.folder.read_spec()
            self.counts += self.database.run(lambda c: pinning.write(c, self.batch, pins, spec))

    def _store_slice(self, c: Connection, piece: Sequence[_Line]) -> None:
        found = _store(c, self.batch, [line.record for line in piece])
        _set_offset(c, self.stored_run.id, piece[-1].behind)
        self.counts = self.counts + found

    def _model(self) -> _Model | None:
        if self.stored_run.state is not StoredState.FINISHED or not self.folder.model.is_dir():
            return None
        self.tell("checking the model", 0, 1)
        base = str(self.folder.read_spec().parameters.get("model", ""))
        return _Model(sha256_of_folder(self.folder.model), base)

    def _publish(self, c: Connection, model: _Model | None) -> Changes:
        """The model's row, the batch and the run's mark, in one transaction."""
        run = self.stored_run
        changes = Changes()
        if model is not None:
            changes |= models.register(
                c,
                run_id=run.id,
                name=run.name,
                kind=run.recipe,
                folder=f"{run.folder}/model",
                checksum=model.checksum,
                base=model.base,
                summary=run.summary,
            )
        changes |= run_traces.show(c, run.id, run.name, self.batch)
        report = {"stored": self.counts.stored, "known": self.counts.known, "lost": self.counts.lost}
        changes |= batches.publish(c, self.batch, report)
        if run.recipe == "rubric":
            changes |= changed(Topic.FAILURES)
        return changes | _mark_ingested(c, run, self.counts.stored)


@dataclass(frozen=True, slots=True)
class _Model:
    checksum: str
    base: str


Storable = Record


@dataclass(frozen=True, slots=True)
class _Line:
    record: Storable
    behind: int


def _store(c: Connection, batch_id: int, records: Sequence[Storable]) -> scores.Stored:
    """Each kind in its own table; traces first, as others may speak of them."""
    made = [record for record in records if isinstance(record, TraceRecord)]
    scored = [record for record in records if isinstance(record, ScoreRecord)]
    tried = [record for record in records if isinstance(record, EvaluationRecord)]
    labelled = [record for record in records if isinstance(record, MachineLabelRecord)]
    stored = scores.Stored(0, 0, 0)
    if made:
        stored = stored + run_traces.store_records(c, batch_id, made)
    if tried:
        stored = stored + store_evaluations(c, batch_id, tried)
    if scored:
        stored = stored + scores.store_records(c, batch_id, scored)
    sought = [record for record in records if isinstance(record, SearchRecord)]
    if sought:
        stored = stored + searches.store_records(c, batch_id, sought)
    routed = [record for record in records if isinstance(record, RouteRecord)]
    if routed:
        stored = stored + routes.store_records(c, batch_id, routed)
    if labelled:
        stored = stored + machine_labels.store_records(c, batch_id, labelled)
    flagged = [record for record in records if isinstance(record, FlagRecord)]
    watched = [record for record in records if isinstance(record, MonitorRecord)]
    if flagged:
        stored = stored + monitor_records.store_flags(c, batch_id, flagged)
    if watched:
        stored = stored + monitor_records.store_scores(c, batch_id, watched)
    looked = [record for record in records if isinstance(record, RubricRecord)]
    if looked:
        stored = stored + rubric_records.store_records(c, batch_id, looked)
    return stored


class _Hold:
    """The hold of one ingest, renewed by a thread while this lives."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._database, self._name, self._me = workspace.database, name, processes.identity()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> bool:
        if not self._take():
            return False
        self._thread = threading.Thread(target=self._renew, name="ingest-hold", daemon=True)
        self._thread.start()
        return True

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._database.run(lambda c: holds.release(c, self._name, self._me))

    def _take(self) -> bool:
        return self._database.run(
            lambda c: holds.take(c, self._name, self._me, seconds=HOLD_SECONDS, gone=processes.surely_dead)
        )

    def _renew(self) -> None:
        while not self._done.wait(HOLD_SECONDS / 3):
            self._take()


def _decoded(lines: list[bytes], offset: int, path: Path) -> list[_Line]:
    found, decoder = [], msgspec.json.Decoder(Record)
    for line in lines:
        offset += len(line) + 1
        if not line.strip():
            continue
        try:
            record = decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise RunError(f"{path}, the line that ends at byte {offset}: {error}; resume or repeat the run") from None
        found.append(_Line(record, offset))
    return found


def _mark_ingested(c: Connection, run: StoredRun, stored: int) -> Changes:
    c.execute(
        update(s.run)
        .where(s.run.c.id == run.id)
        .values(ingested_attempt=run.attempts, ingested=s.run.c.ingested + stored)
    )
    return changed(Topic.RUNS, runs=(run.id,))


def _set_offset(c: Connection, run_id: int, offset: int) -> None:
    c.execute(update(s.run).where(s.run.c.id == run_id).values(ingest_offset=offset))
