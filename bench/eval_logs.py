"""Logs of Inspect: list, open and import one, beside inspect_ai's own readers on the same file in one run.

    python -m bench.eval_logs LOG.eval [--peer PYTHON SCRIPT] [--folder 300]

PYTHON is an interpreter with inspect_ai, SCRIPT reads a log with it (`SCRIPT read --file LOG --op full`) and prints
one JSON line with `s` and `maxrss_mb`. Each operation runs in a fresh process; seconds of wall and of processor.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def timed(name: str, work: Callable[[], object]) -> Row:
    """Run some work once; seconds of wall and processor, children included."""
    began, used = time.perf_counter(), _cpu()
    said = work()
    return {"op": name, "s": round(time.perf_counter() - began, 3), "cpu_s": round(_cpu() - used, 3), "said": said}


def _cpu() -> float:
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in each)


def list_folder(log: Path, count: int) -> Row:
    """List a folder of `count` logs by their headers."""
    from studio.exchange import opening

    with tempfile.TemporaryDirectory() as folder:
        for at in range(count):
            (Path(folder) / f"{at:04}.eval").symlink_to(log)
        return timed(f"list {count} logs", lambda: sum(1 for _ in opening.folder(Path(folder))))


def open_log(log: Path) -> list[Row]:
    """List the samples of a log and open some from the file."""
    from studio.exchange import opening

    rows = []
    opened = opening.open_file(log)
    rows.append(timed("list samples", lambda: len(opening.open_file(log).rows)))
    for at in (0, len(opened.rows) // 2, len(opened.rows) - 1):
        rows.append(timed(f"open sample {at}", lambda at=at: len(opened.traces(at)[0].text)))
    return rows


def import_log(log: Path) -> Row:
    """Import a log as `steplens import` does; peak memory of the largest process."""
    folder = Path(tempfile.mkdtemp())
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        command = [sys.executable, "-m", "studio", "import", str(log), "--workspace", str(folder / "w")]
        row = timed(
            "import with steps and index", lambda: subprocess.run(command, capture_output=True, text=True).stdout
        )
        row["said"] = str(row["said"]).splitlines()[0]
        row["maxrss_mb"] = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024
        row["database_mb"] = (folder / "w" / "workspace.db").stat().st_size >> 20
        return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def peer(python: str, script: str, log: Path, op: str) -> Row:
    """The same file by the other program."""
    row = timed(
        f"inspect_ai {op}",
        lambda: (
            subprocess.run(
                [python, script, "read", "--file", str(log), "--op", op], capture_output=True, text=True
            ).stdout
        ),
    )
    return row | json.loads(row.pop("said"))


def main() -> None:
    """Measure and print one JSON line an operation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--peer", nargs=2, metavar=("PYTHON", "SCRIPT"))
    parser.add_argument("--folder", type=int, default=300)
    args = parser.parse_args()
    log = args.log.resolve()
    rows = [import_log(log)]
    if args.peer:
        full = peer(*args.peer, log, "full")
        rows += [full, *(peer(*args.peer, log, op) for op in ("summaries", "one"))]
        rows[0]["times_of_peer"] = round(rows[0]["s"] / (full["s"] + full["import_s"]), 2)
        rows[0]["times_of_peer_reading_alone"] = round(rows[0]["s"] / full["s"], 2)
    rows += [*open_log(log), list_folder(log, args.folder)]
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
