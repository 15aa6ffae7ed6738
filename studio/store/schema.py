"""The tables. Migrations make them (`migrations/versions`); a test holds that both say the same.

Integer ids are local to this database; `uid` (32 hex digits) names a thing beyond it. Times are ISO-8601 UTC text with
microseconds. JSON columns hold what a foreign format carried beyond our own words. Rows of a batch that is not
published are seen by nobody: `studio.store.batches.visible`. The full-text index `trace_find` (FTS5, see
`studio.store.find`) stands in the migration alone.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SCHEMA_REVISION = "0005"


def _key() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _uid() -> Column[str]:
    return Column("uid", Text, nullable=False, unique=True)


# -- people and projects ----------------------------------------------------------------------------------------------

annotator = Table(
    "annotator",
    metadata,
    _key(),
    _uid(),  # PRM800K's `labeler` for imported rows
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False, server_default="annotator"),  # annotator, reviewer, admin
    Column("origin", Text, nullable=False, server_default="here"),  # here, imported, sample
    Column("created_at", Text, nullable=False),
)

project = Table(
    "project",
    metadata,
    _key(),
    _uid(),
    Column("name", Text, nullable=False, unique=True),
    Column("mode", Text, nullable=False, server_default="phase 2"),  # phase 2, phase 1, thinking
    Column("overlap", Integer, nullable=False, server_default="1"),  # annotators wanted a trace
    Column("guideline", Text, nullable=False, server_default=""),
    Column("guideline_version", Integer, nullable=False, server_default="1"),
    Column("policies", JSON, nullable=False, server_default="{}"),  # gold, queue and help policy
    Column("created_at", Text, nullable=False),
)

project_trace = Table(
    "project_trace",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("generation", Integer),
    Column("gold", Integer, nullable=False, server_default="0"),  # 0 no, 1 quality control, 2 initial screening
    Column(
        "done", Integer, nullable=False, server_default="0"
    ),  # submitted annotations made here; kept by annotations.py
    Column("batch_id", ForeignKey("batch.id"), index=True),  # the import that put it here; None: put here by hand
    Index("ix_project_trace_order", "project_id", "position"),
    Index("ix_project_trace_queue", "project_id", "done", "position"),
    Index("ix_project_trace_trace_id", "trace_id"),
)

lease = Table(
    "lease",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("annotator_id", ForeignKey("annotator.id"), primary_key=True),
    Column("expires_at", Text, nullable=False),
)

# -- where rows come from ---------------------------------------------------------------------------------------------

batch = Table(
    "batch",
    metadata,
    _key(),
    _uid(),
    Column("kind", Text, nullable=False),  # import, ingest, sample
    Column("state", Text, nullable=False),  # writing, published, removing
    Column("project_id", ForeignKey("project.id")),
    Column("run_id", ForeignKey("run.id")),
    Column("source", Text, nullable=False, server_default=""),
    Column("format", Text, nullable=False, server_default=""),
    Column("sha256", Text),
    Column("host", Text, nullable=False, server_default=""),
    Column("process", Text, nullable=False, server_default=""),  # "boot:pid:created", to tell a crash from work
    Column("report", JSON, nullable=False, server_default="{}"),
    Column("created_at", Text, nullable=False),
    Column("published_at", Text),
)

log = Table(
    "log",
    metadata,
    _key(),
    _uid(),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("sha256", Text),
    Column("extra", JSON),
)

# -- problems, traces, steps ------------------------------------------------------------------------------------------

problem = Table(
    "problem",
    metadata,
    _key(),
    _uid(),  # digest of all that a source said of the problem
    Column("prompt", Text, nullable=False),
    Column("reference_answer", Text),
    Column("reference_solution", Text),
    Column("source", Text, nullable=False, server_default=""),
    Column("fold", Text, nullable=False, index=True),  # hash of the normalised prompt: trainer.reasoning.split
    Column("extra", JSON),
)

trace = Table(
    "trace",
    metadata,
    _key(),
    _uid(),
    Column("problem_id", ForeignKey("problem.id"), nullable=False, index=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("line", Integer, nullable=False, server_default="0"),  # order within the batch
    Column("log_id", ForeignKey("log.id")),
    Column("sample", Text),
    Column("epoch", Integer),
    Column("model", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False),  # the raw text; spans count its code points
    Column("separator", Text),  # between bare steps of an import, None otherwise
    Column("answer", Text),
    Column("outcome", Integer),
    Column("budget", JSON),  # granted and used tokens of thinking and answer, how it ended
    Column("extra", JSON),
    Column("created_at", Text, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("role", Text, nullable=False),
    Column("blocks", JSON, nullable=False),  # [[kind, start, end], ...]
    Column("extra", JSON),
    sqlite_with_rowid=False,
)

segmentation = Table(
    "segmentation",
    metadata,
    _key(),
    Column("trace_id", ForeignKey("trace.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("method", Text, nullable=False),  # import, rule name, edited
    Column("annotator_id", ForeignKey("annotator.id")),
    Column("current", Integer, nullable=False, server_default="1"),
    Column("created_at", Text, nullable=False),
    Column("steps", Integer),  # how many; None: not counted here
    UniqueConstraint("trace_id", "version"),
    Index("ix_segmentation_steps", "current", "trace_id", "steps"),
)

step = Table(
    "step",
    metadata,
    Column("segmentation_id", ForeignKey("segmentation.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("step_id", Integer, nullable=False),  # stable within the trace over versions
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    sqlite_with_rowid=False,
)

candidate = Table(
    "candidate",  # an alternative at a position; `annotation_id` when it belongs to one annotator's tree
    metadata,
    _key(),
    Column("trace_id", ForeignKey("trace.id"), nullable=False, index=True),
    Column("annotation_id", ForeignKey("annotation.id"), index=True),
    Column("ordinal", Integer, nullable=False),  # position: the step it stands for
    Column("option", Integer, nullable=False),  # index among the completions; -1 = written by a person
    Column("text", Text, nullable=False),
    Column("source", Text, nullable=False),  # model, human
    Column("extra", JSON),
)

# -- what people said -------------------------------------------------------------------------------------------------

annotation = Table(
    "annotation",
    metadata,
    _key(),
    _uid(),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("trace_id", ForeignKey("trace.id"), nullable=False),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("annotator_id", ForeignKey("annotator.id")),  # None: the source did not say
    Column("batch_id", ForeignKey("batch.id"), index=True),  # None: made here
    Column("line", Integer, nullable=False, server_default="0"),  # order within the batch
    Column("kind", Text, nullable=False, server_default="rating"),  # rating, adjudication, gold
    Column("state", Text, nullable=False, server_default="open"),  # open, submitted, void: its making was undone
    Column("revision", Integer, nullable=False, server_default="0"),  # +1 with every change
    Column("finish_reason", Text),
    Column("reason", Text),  # why given up, or why the problem is bad
    Column("path", JSON),  # chosen completion by position where it is not the plain rule
    Column("total_time_ms", Integer),
    Column("generation", Integer),
    Column("quality_control", Integer, nullable=False, server_default="0"),
    Column("screening", Integer, nullable=False, server_default="0"),
    Column("guideline_version", Integer),
    Column("comment", Text),
    Column("current_step", Integer, nullable=False, server_default="0"),  # where a half-rated trace comes back
    Column("submitted_at", Text),
    Column("extra", JSON),
    Index("ix_annotation_trace", "trace_id", "project_id"),
    Index("ix_annotation_queue", "project_id", "annotator_id", "state", "submitted_at", "kind", "batch_id", "trace_id"),
)

rating = Table(
    "rating",
    metadata,
    Column("annotation_id", ForeignKey("annotation.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),  # position of the step
    Column("option", Integer, primary_key=True),  # 0 the step itself, k its k-th candidate, -1 the written one
    Column("value", Integer),  # -1, 0, 1; None = unrated
    Column("flagged", Integer),  # PRM800K's three-valued "?": None not offered, 0, 1
    Column("unsure", Integer, nullable=False, server_default="0"),
    Column("repairs", Integer),  # thinking mode: the step this one repairs
    Column("extra", JSON),
    CheckConstraint("value IS NULL OR value IN (-1, 0, 1)", name="value"),
    sqlite_with_rowid=False,
)

history = Table(
    "history",  # append-only; triggers refuse update and delete
    metadata,
    _key(),
    Column("at", Text, nullable=False),
    Column("annotator_id", ForeignKey("annotator.id")),
    Column("project_id", Integer),
    Column("trace_id", Integer),
    Column("annotation_id", Integer),
    Column("role", Text, nullable=False),  # do, undo, redo, note
    Column("verb", Text, nullable=False),  # rate, unsure, submit, finish, comment, import, ...
    Column("ordinal", Integer),
    Column("option", Integer),
    Column("old", JSON),
    Column("new", JSON),
    Column("reverts", Integer),  # the entry this one takes back
    Column("device", Text, nullable=False, server_default=""),  # key, mouse, command
    Column("shown_ms", Integer),  # time since the step was shown
    Index("ix_history_person", "annotator_id", "id"),
    Index("ix_history_annotation", "annotation_id", "id"),
    Index("ix_history_note", "trace_id", "annotator_id", sqlite_where=text("role = 'note'")),
    Index("ix_history_reverts", "reverts", sqlite_where=text("reverts IS NOT NULL")),
)

# -- what machines said -----------------------------------------------------------------------------------------------

scorer = Table(
    "scorer",
    metadata,
    _key(),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="prm"),
    Column("domain", Text, nullable=False, server_default=""),
    Column("model_id", ForeignKey("model.id")),
    UniqueConstraint("name", "version"),
)

score = Table(
    "score",  # one row a trace: step scores packed as little-endian float32 in step order, NaN = none
    metadata,
    _key(),
    Column("record", Text, nullable=False, unique=True),  # the record's deterministic id
    Column("trace_id", ForeignKey("trace.id"), nullable=False),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("scorer_id", ForeignKey("scorer.id"), nullable=False),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
    Column("low", Float),
    Column("last", Float),
    Column("product", Float),
    UniqueConstraint("trace_id", "segmentation_id", "scorer_id"),
    Index("ix_score_list", "low", "trace_id", "scorer_id", "last", "product", "batch_id"),
)

machine_label = Table(
    "machine_label",
    metadata,
    _key(),
    Column("record", Text, nullable=False, unique=True),
    Column("trace_id", ForeignKey("trace.id"), nullable=False, index=True),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("method", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# -- runs and models --------------------------------------------------------------------------------------------------

run = Table(
    "run",
    metadata,
    _key(),
    _uid(),
    Column("name", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("state", Text, nullable=False),  # queued, started, paused, finished, cancelled, failed, crashed
    Column("device", Text, nullable=False, server_default="cpu"),
    Column("place", Float, nullable=False, server_default="0"),  # in the device's queue
    Column("host", Text, nullable=False),
    Column("folder", Text, nullable=False),  # relative to the workspace
    Column("spec", JSON, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("message", Text, nullable=False, server_default=""),
    Column("summary", JSON, nullable=False, server_default="{}"),
    Column("ingest_offset", Integer, nullable=False, server_default="0"),
    Column("ingested", Integer, nullable=False, server_default="0"),  # records stored
    Column("ingested_attempt", Integer, nullable=False, server_default="0"),  # the attempt whose end is in the store
    Column("requeue", Integer, nullable=False, server_default="0"),  # once paused it goes back to the queue
    Column("stale", Integer, nullable=False, server_default="0"),  # an annotation it used has a newer revision
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Index("ix_run_device_queue", "device", "state", "place"),
)

run_source = Table(
    "run_source",  # lineage: which annotations, which revision
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("annotation_id", ForeignKey("annotation.id"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Index("ix_run_source_annotation_id", "annotation_id"),
    sqlite_with_rowid=False,
)

model = Table(
    "model",
    metadata,
    _key(),
    _uid(),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),  # the recipe that made it: prm, orm, sft, rl
    Column("folder", Text, nullable=False),  # relative to the workspace
    Column("checksum", Text, nullable=False),
    Column("run_id", ForeignKey("run.id")),
    Column("base", Text, nullable=False, server_default=""),
    Column("summary", JSON, nullable=False, server_default="{}"),
    Column("created_at", Text, nullable=False),
)

hold = Table(
    "hold",  # named, expiring holds: "ingest:RUN", "launch:DEVICE"; of several studios one has it
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
)
