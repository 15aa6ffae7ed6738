"""Bring a workspace database to the present schema: exclusive, after a backup when there is something to lose."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from studio.store.schema import SCHEMA_REVISION

if TYPE_CHECKING:
    from studio.store.database import Database


def upgrade(database: Database, found: str | None) -> None:
    """Migrate from revision `found` (None: an empty file) to SCHEMA_REVISION in one exclusive transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    if found is not None:
        backup_file(database.path, database.path.with_name(f"{database.path.name}.before-{SCHEMA_REVISION}"))
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    with database.write() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda revision, _: script._upgrade_revs("head", revision), "render_as_batch": True},
        )
        if context.get_current_revision() == SCHEMA_REVISION:  # another process was faster
            return
        with Operations.context(context):
            context.run_migrations()


def backup_file(source: Path, target: Path) -> None:
    """Copy a live database consistently (the online backup API), without holding writers up."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    aside.unlink(missing_ok=True)
    origin, copy = sqlite3.connect(source), sqlite3.connect(aside)
    try:
        origin.backup(copy, pages=256, sleep=0.002)
    finally:
        copy.close()
        origin.close()
    aside.replace(target)
