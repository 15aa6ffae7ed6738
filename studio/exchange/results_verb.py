"""The verb `evaluate`: what evaluations found, as a table for people, JSON, CSV or Markdown."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from studio.exchange import results
from studio.store import evaluations
from studio.store.evaluations import Cell
from studio.workspace import Workspace


def verb(args: argparse.Namespace) -> int:
    """Print the stored results table."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        cells = evaluations.cells(c, suites=args.suite, models=args.model)
    if args.json:
        text = msgspec.json.format(msgspec.json.encode([document(cell) for cell in cells])).decode() + "\n"
    elif args.format == "csv":
        text = results.as_csv(cells)
    elif cells:
        text = results.markdown(cells)
    else:
        text = "nothing has been evaluated; start with `steplens run evaluate --set suite=gsm8k --rows FILE`\n"
    if args.out is None:
        sys.stdout.write(text)
    else:
        args.out.write_text(text, "utf-8")
    return 0


def document(cell: Cell) -> dict[str, Any]:
    """A cell as JSON has it; a figure that does not exist is null."""
    made: dict[str, Any] = msgspec.to_builtins(cell)
    key = made.pop("key") | {"settings": dict(cell.key.settings)}
    return {name: _without_nan(value) for name, value in {**key, **made}.items()}


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and value != value else value
