"""How many steps a segmentation has, in an index: filters of traces ask it of all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count what is there."""
    op.add_column("segmentation", sa.Column("steps", sa.Integer(), nullable=True))
    counted = "(SELECT count(*) FROM step WHERE step.segmentation_id = segmentation.id)"
    op.execute(f"UPDATE segmentation SET steps = {counted}")
    op.create_index("ix_segmentation_steps", "segmentation", ["current", "trace_id", "steps"], unique=False)
