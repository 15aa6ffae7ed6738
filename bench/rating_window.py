"""Rating, submitting and jumping in the real window (offscreen), on a workspace of 100,000 traces of 12 steps.

A rating is timed from the key press to the paint event in which its row shows *done*: committed and painted. It is
measured alone and while an import, a backup and an ingest go on in other processes, beside a bare WAL/FULL commit of
the same run. Submit is timed to the paint event in which the next trace shows all its maths; a jump goes to a trace
that was never shown, with maths that was never drawn. Prints a JSON line a figure.

    python -m bench.rating_window [--workdir DIR] [--traces N] [--rated N] [--jumps N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtTest import QTest

from bench.records import Records
from studio.app import Studio, application
from studio.exchange.transfer import import_files
from studio.settings import Settings
from studio.store import backup, batches, projects, scores
from studio.store.database import Database
from studio.ui.actions import Page
from studio.ui.widgets.step_model import Mark
from studio.workspace import Workspace
from trainer.contract.records import ScoreRecord, ScorerRef
from trainer.reasoning.split import fold_of

STEPS = 12
THINK_MS = 40  # between two keys: fast for a person
READ_MS = 300  # before the first key of a trace: time to fetch the next ones, far less than reading takes
PATIENCE_MS = 20_000
LOADS = ("import", "backup", "ingest")


def main() -> int:
    """Measure and print; 0 when every limit holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="keep the big workspace here between runs")
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--rated", type=int, default=20, help="traces rated in each condition")
    parser.add_argument("--jumps", type=int, default=40)
    parser.add_argument("--load", choices=LOADS, help=argparse.SUPPRESS)
    parser.add_argument("--on", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        return put_under_load(given.load, given.on)
    with contextlib.ExitStack() as stack:
        folder = given.workdir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        workspace = build(folder / f"window-{given.traces}", given.traces)
        bench = Bench(workspace, given.traces, given.rated, given.jumps)
        try:
            bench.all()
        finally:
            bench.studio.close()
        return 0 if bench.good else 1


class Bench:
    """The window, the keys, and the moments of painting."""

    def __init__(self, folder: Path, traces: int, rated: int, jumps: int) -> None:
        self.folder, self.traces, self.rated, self.jumps = folder, traces, rated, jumps
        self.good = True
        self.app = application(sys.argv[:1])
        settings = Settings.load()
        settings.update(annotator_name="Ada")
        self.studio = Studio(self.app, settings)
        assert self.studio.open(folder)
        assert self.studio.window is not None
        self.page = self.studio.window.page_widget(Page.LABEL)
        self.dice = random.Random()  # traces that no earlier run has drawn
        self.moment = 0.0
        self.loop = QEventLoop()
        self.watched = -1
        draw = self.page.steps.note_painted

        def note(place: int, whole: bool) -> None:
            draw(place, whole)
            if place == self.watched and self.page.steps.rows[place].mark is Mark.DONE:
                self.moment, self.watched = time.perf_counter(), -1
                self.loop.quit()

        self.page.steps.note_painted = note
        self.page.gate.opened.connect(self.on_moment)
        self.page.steps.firstPainted.connect(self.on_first)
        self.first = 0.0

    def all(self) -> None:
        """Every figure, the bare commit before and after."""
        self.wait_for(lambda: self.page.is_painted)
        self.rest(1_500)
        self.say("bare WAL/FULL commit", self.bare())
        alone = self.rate_traces()
        self.say("key press to committed and painted, alone", alone.keys, must=16)
        self.say("submit to next trace painted (fetched ahead)", alone.submits, must=50)
        with contextlib.ExitStack() as stack:
            for load in LOADS:
                stack.enter_context(under_load(load, self.folder))
            self.rest(1_500)
            busy = self.rate_traces()
            self.say("bare WAL/FULL commit during import, backup and ingest", self.bare())
        self.say("key press to committed and painted, during import, backup and ingest", busy.keys, must=16)
        self.say("submit to next trace painted, during import, backup and ingest", busy.submits)
        self.rest(1_000)
        self.jump_about()

    def rate_traces(self) -> Rounds:
        """Rate traces to their end and submit them."""
        found = Rounds()
        for _ in range(self.rated):
            self.rest(READ_MS)
            for ordinal in range(STEPS):
                found.keys.append(self.press(ordinal))
                self.rest(THINK_MS)
            found.submits.append(self.submit())
        return found

    def press(self, ordinal: int) -> float:
        """Seconds from the key press to the paint that shows the step as done."""
        assert self.page.work.current == ordinal
        self.watched = ordinal
        began = time.perf_counter()
        QTest.keyClick(self.page.steps, Qt.Key.Key_3)
        self.run()
        return self.moment - began

    def submit(self) -> float:
        """Seconds from Enter to the paint of the next trace with all its maths."""
        began = time.perf_counter()
        QTest.keyClick(self.page.steps, Qt.Key.Key_Return)
        self.run()
        return self.moment - began

    def jump_about(self) -> None:
        """Traces never seen, their maths never drawn."""
        first, whole = [], []
        for trace_id in self.dice.sample(range(self.traces // 2, self.traces), self.jumps):
            began = time.perf_counter()
            self.page.show_trace(trace_id, -1)
            self.run()
            first.append(self.first - began)
            whole.append(self.moment - began)
            self.rest(250)
        self.say("jump to an uncached trace, text painted", first)
        self.say("jump to an uncached trace, all maths painted", whole, must=250)

    def bare(self) -> list[float]:
        """Seconds of a commit of three small rows with sqlite3 alone, in a file of its own beside the workspace."""
        path = self.folder.parent / "bare.db"
        for file in path.parent.glob("bare.db*"):
            file.unlink()
        times = []
        with closing(sqlite3.connect(path, isolation_level=None)) as bare:
            bare.execute("PRAGMA journal_mode=WAL")
            bare.execute("PRAGMA synchronous=FULL")
            bare.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)")
            for _ in range(200):
                began = time.perf_counter()
                bare.execute("BEGIN IMMEDIATE")
                for _ in range(3):
                    bare.execute("INSERT INTO t (data) VALUES (?)", ("x" * 120,))
                bare.execute("COMMIT")
                times.append(time.perf_counter() - began)
                time.sleep(0.004)
        return times

    # -- the event loop -----------------------------------------------------------------------------------------------

    def on_moment(self) -> None:
        """All that is in sight has been painted, maths and all."""
        self.moment = time.perf_counter()
        self.loop.quit()

    def on_first(self) -> None:
        """The text of a trace has been painted."""
        self.first = time.perf_counter()

    def run(self) -> None:
        """Let the window work until the moment that is waited for."""
        late = QTimer(singleShot=True, interval=PATIENCE_MS)
        late.timeout.connect(lambda: self.loop.exit(1))
        late.start()
        if self.loop.exec():
            raise TimeoutError(f"nothing was painted for {PATIENCE_MS / 1000} s")

    def rest(self, ms: int) -> None:
        """Let the window work for a while."""
        loop = QEventLoop()
        QTimer.singleShot(ms, loop.quit)
        loop.exec()

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Let the window work until this holds."""
        until = time.monotonic() + PATIENCE_MS / 1000
        while not holds():
            self.rest(10)
            if time.monotonic() > until:
                raise TimeoutError("the first trace was not painted")

    def say(self, what: str, times: list[float], must: float | None = None) -> None:
        """Median and 95th percentile, as JSON lines."""
        ordered = sorted(times)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            value = round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 2)
            line: dict[str, object] = {"what": f"{what}, {name} of {len(ordered)}", "value": value, "unit": "ms"}
            if must is not None and name == "p95":
                line |= {"must": f"≤ {must:g} ms", "met": value <= must}
                self.good = self.good and value <= must
            print(json.dumps(line, ensure_ascii=False), flush=True)


class Rounds:
    """Times of keys and of submits."""

    def __init__(self) -> None:
        self.keys: list[float] = []
        self.submits: list[float] = []


@contextlib.contextmanager
def under_load(load: str, workspace: Path) -> Iterator[None]:
    """Another process that works on the workspace until the end of the block."""
    command = [sys.executable, "-m", "bench.rating_window", "--load", load, "--on", str(workspace)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    try:
        yield
    finally:
        child.stdin.close()
        print(child.stdout.read(), end="", flush=True)
        child.wait()


def put_under_load(load: str, folder: Path) -> int:
    """The child: real work, again and again, until its input ends; as low in priority as children of the window."""
    os.nice(10)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with Workspace.open(folder) as workspace:
        print("begins", flush=True)
        began = time.monotonic()
        {"import": load_import, "backup": load_backup, "ingest": load_ingest}[load](workspace, ended)
        spent = round(time.monotonic() - began)
        print(json.dumps({"what": f"{load} went on beside for", "value": spent, "unit": "s"}), flush=True)
    return 0


def load_import(workspace: Workspace, ended: threading.Event) -> None:
    """Import files of 2,000 PRM800K-like records, each another."""
    number = int(time.time())
    while not ended.is_set():
        number += 1
        source = workspace.path.parent / f"beside-{number}.jsonl"
        Records(seed=number).write(source, 2_000)
        import_files(workspace, [source], "Beside")
        source.unlink()


def load_backup(workspace: Workspace, ended: threading.Event) -> None:
    """Back up, one after the other."""
    while not ended.is_set():
        backup.make(workspace.database, workspace.backups)
        for extra in backup.all_backups(workspace.backups)[1:]:
            extra.path.unlink()


def load_ingest(workspace: Workspace, ended: threading.Event) -> None:
    """Store step scores under a batch as an ingest does, and take them away again."""
    database, dice = workspace.database, random.Random(3)
    while not ended.is_set():
        batch = database.run(lambda c: batches.begin(c, "ingest"))
        scorer = ScorerRef(name="bench", version=str(time.time()), domain="mathematics")
        records = (
            ScoreRecord(
                id=f"{scorer.version}-{k}",
                row=str(k),
                trace=f"{k:032x}",
                segmentation=1,
                scorer=scorer,
                values=tuple(dice.random() for _ in range(STEPS)),
            )
            for k in range(1, 20_000)
        )
        database.write_in_slices(
            records, lambda c, piece, b=batch: scores.store_records(c, b, piece), stop=ended.is_set
        )
        batches.remove(database, batch)


def build(folder: Path, wanted: int) -> Path:
    """The workspace, made once a folder: rows as an import writes them, each trace with maths of its own."""
    if (folder / "workspace.toml").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"making-{folder.name}-{os.getpid()}")
    with Workspace.open(aside, create=True) as workspace:
        fill(workspace.database, wanted)
    aside.replace(folder)
    return folder


def fill(database: Database, wanted: int) -> None:
    """Insert everything in one transaction."""
    with database.write() as c:
        project = projects.create(c, "Bench")
        batches.publish(c, batches.begin(c, "import", project.id), {})
        raw = c.connection.driver_connection
        assert raw is not None
        for sql, rows in tables(project.id, wanted):
            raw.executemany(sql, rows)
    database.checkpoint()


def step_text(trace: int, ordinal: int) -> str:
    """One step: words, and maths that no other step has."""
    a, b = trace + ordinal, trace * 7 + ordinal * 3 + 2
    shapes = (
        f"We multiply both sides by $\\frac{{{a}}}{{{b}}}$, which gives $x = {a}$.",
        f"Substituting, $\\sqrt{{{b}}}\\cdot x^{{2}} - {a}x = {b}$, and the sum is easy to check.",
        f"Since ${a} + {b} = {a + b}$, the two sides agree, and we may go on with $y = {b} - x$.",
        f"Thus $\\sum_{{i=1}}^{{{ordinal + 3}}} i^{{2}} \\le {a}$ holds for every choice, so nothing is lost.",
    )
    return shapes[(trace + ordinal) % len(shapes)]


def tables(project_id: int, wanted: int) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    """Statements and rows that fill the workspace."""
    n, fold = range(1, wanted + 1), fold_of("Problem")

    def texts(k: int) -> list[str]:
        return [step_text(k, o) for o in range(STEPS)]

    def spans() -> Iterator[tuple[object, ...]]:
        for k in n:
            at = 0
            for o, text in enumerate(texts(k)):
                yield k, o, o, at, at + len(text)
                at += len(text) + 2

    yield (
        "INSERT INTO problem (id, uid, prompt, reference_answer, source, fold) VALUES (?, ?, ?, ?, '', ?)",
        ((k, f"p{k}", f"Problem {k}: what is $x$ if $\\frac{{4}}{{3}}x = {k}$?", str(k), fold) for k in n),
    )
    yield (
        "INSERT INTO trace (id, uid, problem_id, batch_id, line, text, created_at) VALUES (?, ?, ?, 1, ?, ?, '2026')",
        ((k, f"{k:032x}", k, k, "\n\n".join(texts(k))) for k in n),
    )
    yield (
        "INSERT INTO message (trace_id, ordinal, role, blocks) VALUES (?, 0, 'assistant', ?)",
        ((k, json.dumps([["answer", 0, len("\n\n".join(texts(k)))]])) for k in n),
    )
    yield (
        "INSERT INTO segmentation (id, trace_id, version, method, created_at) VALUES (?, ?, 1, 'import', '2026')",
        ((k, k) for k in n),
    )
    yield 'INSERT INTO step (segmentation_id, ordinal, step_id, start, "end") VALUES (?, ?, ?, ?, ?)', spans()
    yield (
        "INSERT INTO project_trace (project_id, trace_id, position, batch_id) VALUES (?, ?, ?, 1)",
        ((project_id, k, k) for k in n),
    )


if __name__ == "__main__":
    raise SystemExit(main())
