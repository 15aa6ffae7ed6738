"""What filters of traces ask, in narrow tables and indexes: answers, metadata by key, all of a step score."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LONG_ANSWER = 200
LONG_METADATA = 16_000


def upgrade() -> None:
    """Make them from what is there."""
    _list_scores()
    _count_steps()
    _add_answers()
    _make_metadata()


def _list_scores() -> None:
    """Everything that a list asks of a score, by the lowest one: no row with its packed steps is read."""
    op.drop_index("ix_score_rank", table_name="score")
    columns = ["low", "trace_id", "scorer_id", "last", "product", "batch_id"]
    op.create_index("ix_score_list", "score", columns, unique=False)


def _count_steps() -> None:
    """Imports left the steps uncounted."""
    counted = "(SELECT count(*) FROM step WHERE step.segmentation_id = segmentation.id)"
    op.execute(f"UPDATE segmentation SET steps = {counted} WHERE steps IS NULL")


def _add_answers() -> None:
    """Answers among the facts; the few long ones are found by an index of their own."""
    op.add_column("trace_fact", sa.Column("said", sa.Text(), nullable=True))
    short = f"iif(length(answer) > {LONG_ANSWER}, NULL, answer)"
    op.execute(f"UPDATE trace_fact SET said = (SELECT {short} FROM trace WHERE trace.id = trace_fact.trace_id)")
    names = ("used", "thinking", "answer", "ended")
    budget = "iif(json_valid(new.budget), new.budget, NULL)"
    facts = ", ".join(f"json_extract({budget}, '$.{name}')" for name in names)
    said = f"iif(length(new.answer) > {LONG_ANSWER}, NULL, new.answer)"
    add = f"INSERT OR REPLACE INTO trace_fact SELECT new.id, length(new.text), {facts}, {said};"
    op.execute("DROP TRIGGER trace_fact_insert")
    op.execute("DROP TRIGGER trace_fact_update")
    op.execute(f"CREATE TRIGGER trace_fact_insert AFTER INSERT ON trace BEGIN {add} END")
    op.execute(f"CREATE TRIGGER trace_fact_update AFTER UPDATE OF text, budget, answer ON trace BEGIN {add} END")
    where = sa.text(f"length(answer) > {LONG_ANSWER}")
    op.create_index("ix_trace_long_answer", "trace", ["id"], unique=False, sqlite_where=where)


def _make_metadata() -> None:
    """Metadata by key; the few that are long are found by an index of their own."""
    op.create_table(
        "metadata_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metadata_key")),
        sa.UniqueConstraint("name", name=op.f("uq_metadata_key_name")),
    )
    op.create_table(
        "metadata_value",
        sa.Column("key_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("trace_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "trace_id", name=op.f("pk_metadata_value")),
        sqlite_with_rowid=False,
    )
    where = sa.text(f"length(extra) > {LONG_METADATA}")
    op.create_index("ix_trace_long_metadata", "trace", ["id"], unique=False, sqlite_where=where)
    op.execute(f"INSERT INTO metadata_key (name) SELECT DISTINCT {_NAME} FROM trace AS t, {_NODES.format('t.')}")
    op.execute(_VALUES.format("t.id", f"trace AS t, {_NODES.format('t.')}"))
    add = (
        f"INSERT INTO metadata_key (name) SELECT DISTINCT {_NAME} FROM {_NODES.format('new.')} "
        f"AND {_NAME} NOT IN (SELECT name FROM metadata_key); "
        f"{_VALUES.format('new.id', _NODES.format('new.'))};"
    )
    drop = (
        "DELETE FROM metadata_value WHERE trace_id = old.id AND key_id IN "
        f"(SELECT k.id FROM metadata_key AS k WHERE k.name IN (SELECT {_NAME} FROM {_NODES.format('old.')}));"
    )
    forget = (
        f"DELETE FROM metadata_key WHERE name IN (SELECT {_NAME} FROM {_NODES.format('old.')}) "
        "AND NOT EXISTS (SELECT 1 FROM metadata_value AS v WHERE v.key_id = metadata_key.id);"
    )
    has = "{0}.extra IS NOT NULL AND {0}.extra != 'null'".format
    op.execute(f"CREATE TRIGGER metadata_insert AFTER INSERT ON trace WHEN {has('new')} BEGIN {add} END")
    op.execute(f"CREATE TRIGGER metadata_update AFTER UPDATE OF extra ON trace BEGIN {drop} {add} END")
    op.execute(f"CREATE TRIGGER metadata_delete AFTER DELETE ON trace WHEN {has('old')} BEGIN {drop} {forget} END")


# What is kept of a trace's metadata: `{}` is the prefix of its columns. What stands within an array is not.
_NAME = "replace(substr(j.fullkey, 3), '\"', '')"
_NODES = (
    f"json_tree(iif(json_valid({{0}}extra) AND length({{0}}extra) <= {LONG_METADATA}, {{0}}extra, NULL)) AS j "
    "WHERE j.type NOT IN ('object', 'null') AND j.fullkey != '$' AND instr(j.fullkey, '[') = 0"
)
_VALUES = (
    "INSERT OR IGNORE INTO metadata_value (key_id, trace_id, value) "
    f"SELECT (SELECT k.id FROM metadata_key AS k WHERE k.name = {_NAME}), {{}}, "
    "CASE WHEN j.type IN ('true', 'false') THEN j.type WHEN j.type = 'array' THEN j.value ELSE j.atom END FROM {}"
)
