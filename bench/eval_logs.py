"""Logs of Inspect: list, open and import one, beside inspect_ai's own readers on the same file in one run.

    python -m bench.eval_logs [LOG.eval] [--peer PYTHON SCRIPT] [--folder 300]

PYTHON is an interpreter with inspect_ai (or STEPLENS_PEER_INSPECT), SCRIPT reads a log with it (`SCRIPT read --file LOG
--op full`), prints one JSON line with `s` and `maxrss_mb`, and writes the log of 5,000 samples of 4,000 words that is
read when none is named. Each operation runs in a fresh process; seconds of wall and of processor. The import is held
against the peer in turns, each as the seconds that the program itself tells, without its start.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.imports import figure

ROOT = Path(__file__).resolve().parent.parent
PEER_SCRIPT = ROOT.parent / "shared" / "peers" / "inspect_logs.py"
TURNS = 3
MEMORY_MB = 250
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
    memory = [0]

    def whole() -> str:
        command = [sys.executable, "-m", "studio", "import", str(log), "--workspace", str(folder / "w")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            assert child.stdout is not None
            said = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)  # of this program alone, with its helpers
            child.returncode, memory[0] = os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024
        return said

    try:
        row = timed("import with steps and index", whole)
        row["said"] = str(row["said"]).splitlines()[0]
        told = re.search(r"imported in ([0-9.]+) s", str(row["said"]))
        if told is None:
            raise SystemExit(f"the import said {row['said']!r}")
        row["told_s"] = float(told[1])
        row["maxrss_mb"] = memory[0]
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


def beside(log: Path, python: str, script: str, turns_each: int) -> bool:
    """Import and the peer's full read in turns; the medians of both, and what may be asked of them."""
    turns = [(import_log(log), peer(python, script, log, "full")) for _ in range(turns_each)]
    ours = statistics.median(float(row["told_s"]) for row, _ in turns)
    theirs = statistics.median(float(row["s"]) for _, row in turns)
    memory = max(int(row["maxrss_mb"]) for row, _ in turns)
    figure("import of a log with steps, raw bytes and index", ours, "s")
    figure("the same from the start of the program to its end", statistics.median(r["s"] for r, _ in turns), "s")
    figure("inspect_ai 0.3.285: full read of the log, no index", theirs, "s")
    figure(
        "inspect_ai 0.3.285: the same with its import", statistics.median(p["s"] + p["import_s"] for _, p in turns), "s"
    )
    met = [ours / theirs <= 1.3, memory <= MEMORY_MB]
    figure("import, times of inspect_ai's full read", ours / theirs, "x", "<= 1.3", met[0])
    figure("memory of the largest process of the import", memory, "MB", f"<= {MEMORY_MB}", met[1])
    figure("inspect_ai 0.3.285: memory of the full read", max(p["maxrss_mb"] for _, p in turns), "MB")
    return all(met)


def main() -> int:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="?")
    parser.add_argument(
        "--peer", nargs=2, metavar=("PYTHON", "SCRIPT"), default=(os.environ.get("STEPLENS_PEER_INSPECT"), PEER_SCRIPT)
    )
    parser.add_argument("--folder", type=int, default=300)
    parser.add_argument("--turns", type=int, default=TURNS, help="imports and full reads; the medians count")
    args = parser.parse_args()
    python, script = args.peer
    with tempfile.TemporaryDirectory() as folder:
        if args.log is None and not python:
            parser.error("name a log, or with --peer or STEPLENS_PEER_INSPECT an interpreter that can write one")
        log = written(Path(folder), python, str(script)) if args.log is None else args.log.resolve()
        met = beside(log, python, str(script), args.turns) if python else bool(import_log(log))
        rows = open_log(log)
        figure(f"list {rows[0]['said']:,} samples of the log", rows[0]["s"], "s", "<= 1", rows[0]["s"] <= 1)
        opened = max(row["s"] for row in rows[1:])
        figure("open one of them from the file meanwhile, slowest of 3", opened * 1_000, "ms", "<= 50", opened <= 0.05)
        listed = list_folder(log, args.folder)["s"]
        figure(f"list a folder of {args.folder} logs", listed, "s", "<= 1", listed <= 1)
    return 0 if met and max(rows[0]["s"], listed) <= 1 and opened <= 0.05 else 1


def written(folder: Path, python: str, script: str) -> Path:
    """A log of the size that the limits are told for."""
    command = [python, script, "gen", "--n", "5000", "--m", "4000", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout.splitlines()[-1])["file"])


if __name__ == "__main__":
    sys.exit(main())
