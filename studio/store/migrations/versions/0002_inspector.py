"""The inspector: safety monitors, their findings and scores. Each part has a section of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of the inspector."""
    _make_monitors()
    _make_flags()
    _make_monitor_scores()
    _make_monitor_steps()
    _make_source_records()
    _merge_search_less()
    _make_trace_lists()
    _make_failures()
    _make_rubrics()


# -- safety monitors --------------------------------------------------------------------------------------------------


def _make_monitors() -> None:
    """Which monitors there are, and their thresholds."""
    op.create_table(
        "threshold",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("review", sa.Float(), nullable=False),
        sa.Column("block", sa.Float(), nullable=True),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("category", name=op.f("pk_threshold")),
    )
    op.create_table(
        "monitor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("training", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="shadow", nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("summary", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_monitor_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor")),
        sa.UniqueConstraint("kind", "name", "version", "training", name=op.f("uq_monitor_kind_name_version_training")),
        sa.UniqueConstraint("uid", name=op.f("uq_monitor_uid")),
    )


def _make_flags() -> None:
    """Findings anew: no version before this one could write a row, so nothing is lost; and marks of clean traces."""
    op.drop_table("flag")
    op.create_table(
        "clean_mark",
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_clean_mark_annotator_id")),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_clean_mark_trace_id")),
        sa.PrimaryKeyConstraint("trace_id", "category", name=op.f("pk_clean_mark")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("monitor_id", sa.Integer(), nullable=True),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), server_default="1", nullable=False),
        sa.Column("part", sa.Text(), server_default="thinking", nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("other_start", sa.Integer(), nullable=True),
        sa.Column("other_end", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("reviewed_at", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_flag_annotator_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_flag_batch_id")),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitor.id"], name=op.f("fk_flag_monitor_id")),
        sa.ForeignKeyConstraint(["segmentation_id"], ["segmentation.id"], name=op.f("fk_flag_segmentation_id")),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_flag_trace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag")),
        sa.UniqueConstraint("record", name=op.f("uq_flag_record")),
    )
    op.create_index(op.f("ix_flag_batch_id"), "flag", ["batch_id"], unique=False)
    op.create_index(op.f("ix_flag_monitor_id"), "flag", ["monitor_id"], unique=False)
    op.create_index("ix_flag_review", "flag", ["state", "category", "id"], unique=False)
    op.create_index(op.f("ix_flag_trace_id"), "flag", ["trace_id"], unique=False)


def _make_monitor_scores() -> None:
    """What monitors scored, packed."""
    op.create_table(
        "monitor_score",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("gap", sa.Integer(), server_default="0", nullable=False),
        sa.Column("evidence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_monitor_score_batch_id")),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitor.id"], name=op.f("fk_monitor_score_monitor_id")),
        sa.ForeignKeyConstraint(
            ["segmentation_id"], ["segmentation.id"], name=op.f("fk_monitor_score_segmentation_id")
        ),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_monitor_score_trace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_score")),
        sa.UniqueConstraint("record", name=op.f("uq_monitor_score_record")),
        sa.UniqueConstraint(
            "trace_id",
            "monitor_id",
            "segmentation_id",
            name=op.f("uq_monitor_score_trace_id_monitor_id_segmentation_id"),
        ),
    )
    op.create_index(op.f("ix_monitor_score_batch_id"), "monitor_score", ["batch_id"], unique=False)
    op.create_index("ix_monitor_score_of", "monitor_score", ["monitor_id", "trace_id"], unique=False)


def _make_monitor_steps() -> None:
    """What monitors gave single steps, packed."""
    op.create_table(
        "monitor_steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_monitor_steps_batch_id")),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitor.id"], name=op.f("fk_monitor_steps_monitor_id")),
        sa.ForeignKeyConstraint(
            ["segmentation_id"], ["segmentation.id"], name=op.f("fk_monitor_steps_segmentation_id")
        ),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_monitor_steps_trace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_steps")),
        sa.UniqueConstraint(
            "trace_id",
            "monitor_id",
            "segmentation_id",
            name=op.f("uq_monitor_steps_trace_id_monitor_id_segmentation_id"),
        ),
    )
    op.create_index(op.f("ix_monitor_steps_batch_id"), "monitor_steps", ["batch_id"], unique=False)


# -- records of foreign files -----------------------------------------------------------------------------------------


def _make_source_records() -> None:
    """What remains of the records of imported files beside the texts of their traces, and where their bytes lie."""
    op.create_table(
        "source_record",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("member", sa.Text(), server_default="", nullable=False),
        sa.Column("start", sa.Integer(), nullable=True),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_source_record_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_record")),
        sa.UniqueConstraint("batch_id", "ordinal", name=op.f("uq_source_record_batch_id_ordinal")),
    )
    op.create_index(op.f("ix_source_record_sha256"), "source_record", ["sha256"], unique=False)


# -- lists of traces --------------------------------------------------------------------------------------------------


def _make_trace_lists() -> None:
    """All that lists are narrowed by, in one index, so that no filter reads the texts."""
    op.create_index("ix_trace_list", "trace", ["log_id", "outcome", "model", "batch_id"], unique=False)


def _merge_search_less() -> None:
    """Merge the parts of the full-text index sixteen at a time, and a little with each commit, never all at once.

    Four at a time cost an import twice the work, and the one great merge that sixteen parts of a size would set off
    took half a second in one transaction.
    """
    op.execute("INSERT INTO trace_find(trace_find, rank) VALUES('automerge', 16)")
    op.execute("INSERT INTO trace_find(trace_find, rank) VALUES('crisismerge', 64)")


# -- failures and rubrics ---------------------------------------------------------------------------------------------


def _make_failures() -> None:
    """Why traces are wrong."""
    op.create_table(
        "failure",
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["segmentation_id"], ["segmentation.id"], name=op.f("fk_failure_segmentation_id")),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_failure_trace_id")),
        sa.PrimaryKeyConstraint("trace_id", "method", name=op.f("pk_failure")),
        sqlite_with_rowid=False,
    )


def _make_rubrics() -> None:
    """What people look for in traces, and where it stands."""
    op.create_table(
        "rubric",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), server_default="", nullable=False),
        sa.Column("rule", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("examples", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rubric")),
        sa.UniqueConstraint("name", name=op.f("uq_rubric_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_rubric_uid")),
    )
    op.create_table(
        "rubric_hit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rubric_id", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.Integer(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["rubric_id"], ["rubric.id"], name=op.f("fk_rubric_hit_rubric_id")),
        sa.ForeignKeyConstraint(["trace_id"], ["trace.id"], name=op.f("fk_rubric_hit_trace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rubric_hit")),
    )
    op.create_index("ix_rubric_hit_of", "rubric_hit", ["rubric_id", "how", "trace_id"], unique=False)
    op.create_index(op.f("ix_rubric_hit_trace_id"), "rubric_hit", ["trace_id"], unique=False)
