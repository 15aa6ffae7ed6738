"""Import of PRM800K-like rows: speed beside a bare loader, in turns; memory growth on a 456 MB file; search.

    python -m bench.imports                          # all of it, about 3 minutes
    python -m bench.imports --no-big                 # without the 456 MB file
    python -m bench.imports --peer PATH/label-studio

With `--peer` the same tasks go into Label Studio and into a workspace, in turns: see bench/imports_peer.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import bare
from bench.imports_peer import PEER_SCRIPT, compare
from bench.records import Records
from studio.exchange.transfer import import_files
from studio.store import find, traces
from studio.store.database import Database
from studio.workspace import Workspace

ROWS = 10_000
TURNS = 3
BIG_BYTES = 456_135_365  # PRM800K's phase2_train.jsonl
QUERIES = (r"\frac{2", "common factor which", "triangle", '"both sides" 77', "substitu", "area 12345")
PAGES = (0, 5_000)


def main() -> int:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--no-big", action="store_true", help="leave out the memory growth on a 456 MB file")
    parser.add_argument("--big-bytes", type=int, default=BIG_BYTES)
    parser.add_argument("--big-child", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--peer", type=Path, help="the program label-studio")
    parser.add_argument("--peer-script", type=Path, default=PEER_SCRIPT)
    args = parser.parse_args()
    if args.big_child:
        return _big_child(*args.big_child)
    with tempfile.TemporaryDirectory() as folder:
        _speed(Path(folder), args.rows)
    if not args.no_big:
        with tempfile.TemporaryDirectory() as folder:
            _big(Path(folder), args.big_bytes)
    if args.peer:
        compare(args.peer.absolute(), args.peer_script, args.rows)
    return 0


def figure(what: str, value: float, unit: str, must: str = "", met: bool | None = None) -> None:
    """One line of the result."""
    print(json.dumps({"what": what, "value": round(value, 4), "unit": unit, "must": must, "met": met}), flush=True)


def _speed(folder: Path, rows: int) -> None:
    source = folder / "rows.jsonl"
    Records().write(source, rows)
    ours, theirs = [], []
    for turn in range(TURNS):
        theirs.append(rows / _timed(lambda turn=turn: _bare(folder / f"bare-{turn}.db", source)))
        with Workspace.open(folder / f"workspace-{turn}", create=True) as workspace:
            ours.append(rows / _timed(lambda workspace=workspace: _import(workspace, source)))
            if turn == TURNS - 1:
                _searches(workspace.database)
    mine, bare_speed = statistics.median(ours), statistics.median(theirs)
    figure(f"import of {rows:,} x 12, searchable", mine, "traces/s", ">= 1,200", mine >= 1200)
    figure("bare json + sqlite3 loader of the same tables", bare_speed, "traces/s")
    ratio = statistics.median(own / other for own, other in zip(ours, theirs, strict=True))
    figure("ours / bare (median of pairs)", ratio, "x", ">= 0.4", ratio >= 0.4)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _bare(database: Path, source: Path) -> None:
    Database.open(database).close()
    bare.load(database, source)


def _import(workspace: Workspace, source: Path) -> None:
    report = import_files(workspace, [source], "Bench")
    assert report.broken == 0, report.errors[:3]


def _searches(database: Database) -> None:
    with database.read() as c:
        times = []
        for query in QUERIES:
            hits = 0
            for _ in range(5):
                began = time.perf_counter()
                hits = len(find.search(c, query))
                times.append(1000 * (time.perf_counter() - began))
            assert hits or query == "area 12345", query
        total = traces.count(c, traces.TraceQuery(project=1))
        figure(f"find, first 50 of {total:,} traces, p95", _p95(times), "ms", "<= 100", _p95(times) <= 100)
        pages = [
            1000 * _timed(lambda at=at: traces.rows(c, traces.TraceQuery(project=1), limit=100, offset=at))
            for at in PAGES * 5
        ]
        figure(f"a page of 100 of {total:,} traces, p95", _p95(pages), "ms", "<= 100", _p95(pages) <= 100)


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1) + 0.5)]


def _big(folder: Path, size: int) -> None:
    source = folder / "big.jsonl"
    Records(seed=801).write_bytes(source, size)
    command = [sys.executable, "-m", "bench.imports", "--big-child", str(source), str(folder / "workspace")]
    subprocess.run(command, check=True)


def _big_child(source: Path, workspace_path: Path) -> int:
    with Workspace.open(workspace_path, create=True) as workspace:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        report = import_files(workspace, [source], "Big")
        spent = time.perf_counter() - began
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert report.broken == 0, report.errors[:3]
        name = f"{source.stat().st_size / 1e6:.0f} MB file, {report.imported:,} rows"
        figure(f"memory growth, {name}", growth, "MiB", "< 300", growth < 300)
        figure(f"import, {name}", report.imported / spent, "traces/s", ">= 1,200", report.imported / spent >= 1200)
        _searches(workspace.database)
    return 0


if __name__ == "__main__":
    sys.exit(main())
