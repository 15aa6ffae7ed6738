"""The verb traces: one list of the workspace's traces."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

import msgspec

from studio.errors import NotFoundError
from studio.store import projects, traces
from studio.workspace import Workspace

EVERYTHING = 2**31
WIDTH = 90


def traces_(args: argparse.Namespace) -> int:
    """`steplens traces`: one line a trace, or one JSON list."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        project = None
        if args.project is not None:
            found = projects.by_name(c, args.project)
            if found is None:
                raise NotFoundError(f"there is no project {args.project!r} in {args.workspace}")
            project = found.id
        query = traces.TraceQuery(project=project, text=args.text)
        rows = traces.rows(c, query, limit=EVERYTHING if args.limit is None else args.limit)
    if args.json:
        sys.stdout.write(msgspec.json.encode([asdict(row) for row in rows]).decode() + "\n")
        return 0
    for row in rows:
        title = " ".join(row.title.split())
        error = "" if row.first_error is None else f"first error at step {row.first_error + 1}"
        sys.stdout.write(
            f"{row.id:>8}  {row.steps:>3} steps  {row.annotations:>2} annotations  {title[:WIDTH]}  {error}\n"
        )
    return 0
