"""Alembic asks for this file; Steplens migrates through `studio.store.migrate`, never from a command line."""
