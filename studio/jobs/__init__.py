"""Runs as the app sees them: start, follow, ingest, devices."""
