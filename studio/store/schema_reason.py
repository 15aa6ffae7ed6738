"""The tables of reasoning at test time: searches, routes, evaluations and regression tests."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, LargeBinary, Table, Text

from studio.store.schema import metadata

# -- searches ---------------------------------------------------------------------------------------------------------

search = Table(
    "search",  # what was tried for one problem
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record", Text, nullable=False, unique=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("problem_id", ForeignKey("problem.id"), index=True),  # None: no trace came to its end
    Column("prompt", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("scorer", Text, nullable=False, server_default=""),
    Column("answer", Text),
    Column("outcome", Integer),
    Column("chosen", Integer, nullable=False),  # place among its traces, -1: none
    Column("traces", Integer, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),  # drawn, kept or not
    Column("tokens_read", Integer, nullable=False),
    Column("prm_calls", Integer, nullable=False),
    Column("prm_tokens", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("settings", JSON, nullable=False, server_default="{}"),
    Column("data", LargeBinary, nullable=False),  # nodes and votes, as `studio.store.searches` packs them
)

search_trace = Table(
    "search_trace",  # the traces that a search finished
    metadata,
    Column("trace_id", ForeignKey("trace.id"), primary_key=True),
    Column("search_id", ForeignKey("search.id"), nullable=False, index=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("place", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# -- evaluations ------------------------------------------------------------------------------------------------------

evaluation_problem = Table(
    "evaluation_problem",  # a row of a suite; its name follows from its content, so that runs can be paired
    metadata,
    Column("id", Integer, primary_key=True),
    Column("row", Text, nullable=False, unique=True),
    Column("suite", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("reference", Text),
)

evaluation = Table(
    "evaluation",  # one sample of one problem; `sample` -1: what the strategy chose among the samples
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record", Text, nullable=False, unique=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("problem_id", ForeignKey("evaluation_problem.id"), nullable=False, index=True),
    Column("trace_id", ForeignKey("trace.id"), index=True),  # None: the suite has none, or it is gone
    Column("suite", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False, server_default=""),  # checksum of the model
    Column("prm", Text, nullable=False, server_default=""),
    Column("strategy", Text, nullable=False),
    Column("compute", Text, nullable=False),  # low, high, own
    Column("budget", Integer),  # cap on thinking tokens; None = none
    Column("sample", Integer, nullable=False),
    Column("answer", Text),
    Column("correct", Integer),  # None: could not be decided
    Column("strict", Integer),
    Column("lenient", Integer),
    Column("thinking_tokens", Integer, nullable=False, server_default="0"),
    Column("answer_tokens", Integer, nullable=False, server_default="0"),
    Column("truncated", Integer, nullable=False, server_default="0"),
    Column("seed", Integer, nullable=False, server_default="0"),
    Column("tokens", Integer, nullable=False, server_default="0"),  # all that were drawn
    Column("prm_calls", Integer, nullable=False, server_default="0"),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("cost", Float, nullable=False, server_default="0"),
    Column("why", Text, nullable=False, server_default=""),
    Column("detail", JSON, nullable=False, server_default="{}"),
    Index("ix_evaluation_cell", "suite", "model", "strategy", "compute"),
)

regression = Table(
    "regression",  # a thought that failed once: every new checkpoint goes on from its prefix
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("reference", Text),
    Column("prefix", Text, nullable=False),
    Column("must", Text, nullable=False),  # answer: end right; absent: not bring `span` back
    Column("span", Text, nullable=False, server_default=""),
    Column("trace_id", ForeignKey("trace.id"), index=True),  # where it failed
    Column("start", Integer),  # of `span` in that trace
    Column("note", Text, nullable=False, server_default=""),
    Column("retired", Integer, nullable=False, server_default="0"),
    Column("created_at", Text, nullable=False),
)

# -- routes -----------------------------------------------------------------------------------------------------------

route = Table(
    "route",  # one problem that a router answered; who was asked stands packed in `data`
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record", Text, nullable=False, unique=True),
    Column("batch_id", ForeignKey("batch.id"), nullable=False, index=True),
    Column("row", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("reference", Text),
    Column("task", Text, nullable=False, server_default=""),
    Column("level", Text, nullable=False, server_default=""),  # simple, medium, hard
    Column("tier", Text, nullable=False, server_default=""),  # of the model whose answer stands
    Column("model", Text, nullable=False, server_default=""),
    Column("trace", Text, nullable=False, server_default="", index=True),  # its uid; of another run where cached
    Column("marked", Text, nullable=False, server_default=""),  # what the answer lacks
    Column("router", Text, nullable=False, server_default=""),
    Column("difficulty", Float),
    Column("answer", Text),
    Column("outcome", Integer),
    Column("escalated", Integer, nullable=False, server_default="0"),
    Column("cached", Integer, nullable=False, server_default="0"),
    Column("audited", Integer, nullable=False, server_default="0"),  # one of the share that both models are asked
    Column("tokens", Integer, nullable=False, server_default="0"),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("cost", Float, nullable=False, server_default="0"),
    Column("settings", JSON, nullable=False, server_default="{}"),
    Column("data", LargeBinary, nullable=False),
)
