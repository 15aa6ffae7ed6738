"""The tables of the inspector: what monitors found and scored, and what people say of it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from studio.store.schema import metadata, trace

LONG_ANSWER = 200  # letters; a longer answer stays out of trace_fact
LONG_METADATA = 16_000  # letters of JSON; longer metadata stays out of metadata_value

# -- safety monitors --------------------------------------------------------------------------------------------------

monitor = Table(
    "monitor",  # a monitor never changes: another rule, training or judge is another row
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),  # rules, classifier, judge
    Column("version", Text, nullable=False),  # hash of its parameters
    Column("training", Text, nullable=False, server_default=""),  # hash of the labels it learned from
    Column("state", Text, nullable=False, server_default="shadow"),  # shadow, active, retired
    Column("model_id", ForeignKey("model.id")),
    Column("summary", JSON, nullable=False, server_default="{}"),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("kind", "name", "version", "training"),
)

monitor_score = Table(
    "monitor_score",  # float32 [3, 7]: hybrid, thinking, answer by category; NaN = not scored
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record", Text, nullable=False, unique=True),
    Column("trace_id", ForeignKey("trace.id"), nullable=False),
    Column("monitor_id", ForeignKey("monitor.id"), nullable=False),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("gap", Integer, nullable=False, server_default="0"),  # trainer.reasoning.safety.Gap
    Column("evidence", Integer, nullable=False, server_default="0"),  # a bit a category: a quoted span stands
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("trace_id", "monitor_id", "segmentation_id"),
    Index("ix_monitor_score_of", "monitor_id", "trace_id"),
)

monitor_steps = Table(
    "monitor_steps",  # float16 [steps, 7] in step order; apart, so that the scores of all traces are read fast
    metadata,
    Column("id", Integer, primary_key=True),
    Column("trace_id", ForeignKey("trace.id"), nullable=False),
    Column("monitor_id", ForeignKey("monitor.id"), nullable=False),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("trace_id", "monitor_id", "segmentation_id"),
)

flag = Table(
    "flag",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record", Text, nullable=False, unique=True),
    Column("trace_id", ForeignKey("trace.id"), nullable=False, index=True),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("step_id", Integer),
    Column("batch_id", ForeignKey("batch.id"), index=True),  # None: a person flagged it
    Column("monitor_id", ForeignKey("monitor.id"), index=True),  # None: a person flagged it
    Column("category", Text, nullable=False),
    Column("severity", Integer, nullable=False),  # 0 to 3
    Column("score", Float, nullable=False, server_default="1"),
    Column("part", Text, nullable=False, server_default="thinking"),  # thinking, answer
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("other_start", Integer),  # the span it clashes with
    Column("other_end", Integer),
    Column("state", Text, nullable=False, server_default="open"),  # open, confirmed, rejected, unsure, withdrawn
    Column("reason", Text, nullable=False, server_default=""),
    Column("annotator_id", ForeignKey("annotator.id")),  # who said so last
    Column("reviewed_at", Text),
    Index("ix_flag_review", "state", "category", "id"),
)

clean_mark = Table(
    "clean_mark",  # a person has looked: this trace holds nothing of the category
    metadata,
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("category", Text, primary_key=True),
    Column("annotator_id", ForeignKey("annotator.id"), nullable=False),
    Column("at", Text, nullable=False),
    sqlite_with_rowid=False,
)

threshold = Table(
    "threshold",  # as of the last entry of the history about it; a category without a row has the default
    metadata,
    Column("category", Text, primary_key=True),
    Column("review", Float, nullable=False),
    Column("block", Float),
    Column("basis", Text, nullable=False),
)

# -- records of foreign files -----------------------------------------------------------------------------------------

source_record = Table(
    "source_record",  # one record of an imported file; traces of it have its batch and, as `line`, its ordinal
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),  # from 1 in the order of the file; 0: what stands around the records
    Column("member", Text, nullable=False, server_default=""),  # file of an archive, or JSON pointer in a document
    Column("start", Integer),  # bytes of the file; None: a piece of a document, found by `member`
    Column("length", Integer),
    Column("sha256", Text, nullable=False, index=True),  # of these bytes, unpacked
    Column("skeleton", LargeBinary),  # `studio.exchange.skeleton`; None: the one of an equal record before
    UniqueConstraint("batch_id", "ordinal"),
)

# -- lists of traces --------------------------------------------------------------------------------------------------

Index("ix_trace_list", trace.c.log_id, trace.c.outcome, trace.c.model, trace.c.batch_id)
Index(
    "ix_trace_tree",
    trace.c.log_id,
    trace.c.sample,
    trace.c.problem_id,
    trace.c.epoch,
    trace.c.outcome,
    trace.c.batch_id,
)

trace_fact = Table(
    "trace_fact",  # what filters ask of every trace, so that none reads the texts; triggers on `trace` keep it
    metadata,
    Column("trace_id", Integer, primary_key=True),  # no foreign key: a row goes when its trace has gone
    Column("characters", Integer, nullable=False),
    Column("used", Integer),  # tokens, as the budget says
    Column("thinking", Integer),
    Column("answer", Integer),
    Column("ended", Text),
    Column("said", Text),  # the answer; None also for one of more than LONG_ANSWER letters, which the trace has
)
Index("ix_trace_long_answer", trace.c.id, sqlite_where=text(f"length(answer) > {LONG_ANSWER}"))

metadata_key = Table(
    "metadata_key",  # names of what stands in `trace.extra`: keys of objects within each other joined by dots
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

metadata_value = Table(
    "metadata_value",  # `trace.extra` by key, without its objects; triggers on `trace` keep it
    metadata,
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    Column("trace_id", Integer, primary_key=True, autoincrement=False),  # as in trace_fact
    Column("value", LargeBinary, nullable=False),  # as it is: number, text, true, false, or an array as JSON
    sqlite_with_rowid=False,
)
Index("ix_trace_long_metadata", trace.c.id, sqlite_where=text(f"length(extra) > {LONG_METADATA}"))

# -- bookmarks --------------------------------------------------------------------------------------------------------

bookmark = Table(
    "bookmark",  # a stretch of a trace that somebody marked, with or without words; its quote finds it again
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("trace_id", ForeignKey("trace.id"), nullable=False, index=True),
    Column("annotator_id", ForeignKey("annotator.id")),  # None: came with a file
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("comment", Text, nullable=False, server_default=""),
    Column("tags", JSON, nullable=False, server_default="[]"),
    Column("state", Text, nullable=False, server_default="kept"),  # kept, removed
    Column("author", Text, nullable=False, server_default=""),  # who said so, where it came with a file
    Column("created_at", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
)

# -- failures and rubrics ---------------------------------------------------------------------------------------------

failure = Table(
    "failure",  # why a trace is wrong, as one version of one method says; made anew at will
    metadata,
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("method", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("segmentation_id", ForeignKey("segmentation.id"), nullable=False),
    Column("cause", Text, nullable=False),
    Column("step", Integer),  # position of the first bad step; None: nobody says
    Column("basis", Text, nullable=False),  # who says which step is the first bad one
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Text, nullable=False),
    sqlite_with_rowid=False,
)

rubric = Table(
    "rubric",  # what a person looks for, in words, with examples and the rule that finds it
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("definition", Text, nullable=False, server_default=""),
    Column("rule", JSON, nullable=False, server_default="{}"),  # text, mode, places
    Column("examples", JSON, nullable=False, server_default="[]"),  # [[is positive, text], ...]
    Column("version", Integer, nullable=False, server_default="1"),  # +1 with every change
    Column("created_at", Text, nullable=False),
)

rubric_hit = Table(
    "rubric_hit",  # a quote of a trace that a rubric is about; `how`: by rule, or by which judge
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rubric_id", ForeignKey("rubric.id"), nullable=False),
    Column("trace_id", ForeignKey("trace.id"), nullable=False, index=True),
    Column("how", Text, nullable=False),
    Column("version", Integer, nullable=False),  # of the rubric
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("score", Float),  # of a classifier or judge; None: the rule, which knows no more or less
    Column("state", Text, nullable=False, server_default="open"),  # open, confirmed, rejected
    Column("batch_id", ForeignKey("batch.id"), index=True),  # of the run that found it; None: the rule in the window
    Index("ix_rubric_hit_of", "rubric_id", "how", "trace_id"),
)

# -- what came with traces, and what people look for ------------------------------------------------------------------

raw_record = Table(
    "raw_record",  # the bytes a row came as; may be deleted, nothing is built from them
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("line", Integer, nullable=False),
    Column("codec", Text, nullable=False),  # raw, zstd
    Column("data", LargeBinary, nullable=False),
)

token_values = Table(
    "token_values",  # packed arrays in chunks, never a row a token
    metadata,
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # logprob, entropy, offsets, alternatives
    Column("chunk", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

saved_filter = Table(
    "saved_filter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id")),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="find"),  # find, traces: which form it fills
)
