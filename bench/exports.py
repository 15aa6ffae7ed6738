"""Export of 10,000 annotations of 12 steps as PRM800K: `python -m bench.exports`."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from bench.imports import figure
from bench.records import Records
from studio.exchange.exporter import ExportQuery
from studio.exchange.transfer import export_file, import_files
from studio.workspace import Workspace

ROWS = 10_000
TURNS = 3


def main() -> int:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.jsonl"
        Records().write(source, rows)
        with Workspace.open(Path(folder) / "workspace", create=True) as workspace:
            import_files(workspace, [source], "Bench")
            out = Path(folder) / "out.jsonl"
            reports = [export_file(workspace, out, ExportQuery()) for _ in range(TURNS)]
        assert all(report.rows == rows for report in reports)
    seconds = statistics.median(report.seconds for report in reports)
    figure(f"export of {rows:,} x 12", seconds, "s", "<= 3", seconds <= 3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
