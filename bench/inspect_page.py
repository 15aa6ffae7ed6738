"""The Inspect page in the real window (offscreen), on traces of a million words, 10,000 steps and 100,000 tokens.

First paint is timed from `show_trace` of a trace that was never read to the first paint event with its text; a frame
from the scroll to the end of the paint event; a list from opening it to its rows being there. Everything is real: a
workspace on disk, the page's own reading in threads, its own widgets. Prints a JSON line a figure.

    python -m bench.inspect_page [--workdir DIR] [--traces N] [--words N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer, SignalInstance
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from sqlalchemy import Connection, insert, select

from studio.app import Studio, application
from studio.settings import Settings
from studio.store import batches, projects, runs, schema, scores, token_values, traces
from studio.store.token_values import TokenArrays
from studio.store.trace_filter import Condition, Field, Filter, Op
from studio.store.trace_list import OutcomeFilter, TraceOrder, TraceQuery
from studio.ui.actions import Page
from studio.ui.inspect.log_tree_model import Node
from studio.workspace import Workspace
from trainer.contract.records import Block, BlockKind, Message, ScoreRecord, ScorerRef, Step
from trainer.reasoning.segment import segment
from trainer.reasoning.split import fold_of

WORDS = ("so", "the", "first", "term", "is", "equal", "to", "we", "check", "whether", "wait", "let", "me", "recompute")
PATIENCE_MS = 30_000
ROUNDS = 9


def main() -> int:
    """Measure and print; 0 when every limit holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="keep the workspace here between runs")
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=1_000_000)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.workdir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        bench = Bench(build(folder / f"inspect-{given.traces}-{given.words}", given.traces, given.words))
        try:
            bench.all()
        finally:
            bench.studio.close()
        return 0 if bench.good else 1


class PaintWatch(QObject):
    """Which widgets were painted."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[QWidget] = set()

    def forget(self) -> None:
        """From now on."""
        self._seen.clear()

    def painted(self, widget: QWidget) -> bool:
        """Whether a widget, or the viewport in it, was painted."""
        return widget in self._seen or any(each.parent() is widget for each in self._seen)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Note paint events."""
        if event.type() == QEvent.Type.Paint and isinstance(watched, QWidget):
            self._seen.add(watched)
        return False


class Bench:
    """The window and its clock."""

    def __init__(self, workspace: Path) -> None:
        self.good = True
        self.app = application(sys.argv[:1])
        settings = Settings.load()
        settings.update(annotator_name="Ada")
        self.studio = Studio(self.app, settings)
        assert self.studio.open(workspace)
        assert self.studio.window is not None
        self.context = self.studio.context
        self.studio.window.resize(1400, 900)
        self.context.show_page(Page.INSPECT)
        self.page = self.studio.window.page_widget(Page.INSPECT)
        self.watch = PaintWatch()
        for widget in (self.page.steps.viewport(), self.page.strip.strip, self.page.map):
            widget.installEventFilter(self.watch)
        with self.context.workspace.database.read() as c:
            self.long, self.steps, self.tokens, self.short = special(c)

    def all(self) -> None:
        """Every figure."""
        self.wait_for(lambda: self.page.shown is not None and self.page.gate.is_open)
        self.rest(800)
        self.list()
        self.openings()
        self.scrolling()
        self.seeking()
        self.heat()

    def list(self) -> None:
        """The list of all traces, and filters over it."""
        model = self.page.traces.model
        self.say("list of all traces, rows there", [self.listed(TraceQuery()) for _ in range(ROUNDS)], must=500)
        self.log("traces in the list", model.rowCount())
        times = []
        for query in filters(self.context.workspace.database.read):
            times += [self.listed(query) for _ in range(3)]
        self.say("filtered list, rows there", times, must=100)
        times = [self.listed(TraceQuery(filter=wanted)) for wanted in composed() for _ in range(3)]
        self.say("list narrowed by a composed filter, rows there", times, must=100)
        self.listed(TraceQuery())
        self.tree()

    def tree(self) -> None:
        """Logs with their counts, and one of them unfolded."""
        tree = self.page.traces.tree
        opened, unfolded = [], []
        for number in range(ROUNDS):
            tree.collapseAll()
            opened.append(self.came(tree.tree.opened, lambda: tree.open(TraceQuery())))
            self.rest(100)
            log = tree.tree.logs[number % 10]
            began = time.perf_counter()
            tree.setExpanded(tree.tree.index_of(log), True)
            self.wait_for(partial(_has_come, log))
            unfolded.append(time.perf_counter() - began)
        self.say("tree of all logs, lines there", opened, must=500)
        self.log("samples of the log that was unfolded last", len(log.children or ()))
        self.say("a log of 10,000 traces unfolded", unfolded, must=500)

    def came(self, signal: SignalInstance, act: Callable[[], None]) -> float:
        """Seconds from doing something to the signal."""
        loop = QEventLoop()
        signal.connect(loop.quit)
        began = time.perf_counter()
        act()
        self.run(loop)
        signal.disconnect(loop.quit)
        return time.perf_counter() - began

    def listed(self, query: TraceQuery) -> float:
        """Seconds until a list is there."""
        loop = QEventLoop()
        model = self.page.traces.model
        model.loaded.connect(loop.quit)
        began = time.perf_counter()
        model.open(query)
        self.run(loop)
        model.loaded.disconnect(loop.quit)
        return time.perf_counter() - began

    def openings(self) -> None:
        """First paint of traces that are not held."""
        for name, trace_id, must in (
            ("a trace of a million words", self.long, 200),
            ("a trace of 10,000 steps with three scorers", self.steps, None),
            ("a trace of twelve steps", self.short, 50),
        ):
            times = []
            for _ in range(ROUNDS):
                self.show(self.short + 1)
                self.rest(250)
                times.append(self.show(trace_id))
            self.say(f"{name}: first paint", times, must=must)

    def show(self, trace_id: int) -> float:
        """Seconds until a trace that is not held has been painted."""
        self.page._held.clear()
        loop, painted = QEventLoop(), [0.0]

        def note() -> None:
            if self.page.shown is not None and self.page.shown.trace.id == trace_id:
                painted[0] = time.perf_counter()
                loop.quit()

        self.page.steps.firstPainted.connect(note)
        began = time.perf_counter()
        self.page.show_trace(trace_id)
        self.run(loop)
        self.page.steps.firstPainted.disconnect(note)
        return painted[0] - began

    def scrolling(self) -> None:
        """Every way through a trace of a million words."""
        view = self.page.steps
        self.show(self.long)
        self.rest(300)
        jumps = []
        for _ in range(ROUNDS):
            jumps.append(self.painted(view, lambda: QTest.keyClick(view, Qt.Key.Key_End)))
            self.painted(view, lambda: QTest.keyClick(view, Qt.Key.Key_Home))
            self.rest(30)
        self.say("a million words: jump to the end", jumps, must=100)
        bar, dice = view.verticalScrollBar(), random.Random(1)
        wheel = [self.painted(view, lambda: bar.setValue(bar.value() + 120)) for _ in range(400)]
        self.say("a million words: frame of a wheel's notch, 400 on end", wheel, must=33)
        page = [self.painted(view, lambda: QTest.keyClick(view, Qt.Key.Key_PageDown)) for _ in range(150)]
        self.say("a million words: frame of a page, 150 on end", page, must=33)
        drag = [self.painted(view, lambda: bar.setValue(dice.randint(0, bar.maximum()))) for _ in range(150)]
        self.say("a million words: frame of a drag to anywhere", drag, must=33)

    def seeking(self) -> None:
        """10,000 steps: everything follows the cursor."""
        self.show(self.steps)
        self.rest(400)
        dice, strip = random.Random(2), self.page.strip.strip
        count = self.page.shown.count
        self.page.lanes.setCurrentWidget(self.page.strip)
        self.rest(100)
        whole, away = [], 0
        for _ in range(60):
            goal = dice.randrange(count)
            whole.append(self.painted(self.page.steps, lambda goal=goal: self.page.go(goal)))
            away = max(away, abs((self.page.step or 0) - goal))
        self.say("10,000 steps: seek, everything painted", whole, must=50)
        self.log("10,000 steps: error of the place, steps", away)

        def redraw() -> None:
            strip._redraw()

        self.say("10,000 steps, 3 scorers: strip drawn anew", [self.painted(strip, redraw) for _ in range(30)], must=16)
        self.say(
            "10,000 steps: map drawn anew", [self.painted(self.page.map, self.page.map._redraw) for _ in range(30)]
        )

    def heat(self) -> None:
        """Coloured tokens: what is in sight, first and again."""
        self.show(self.tokens)
        self.rest(300)
        view = self.page.steps
        self.context.actions.run("heat_logprob")
        self.rest(300)
        again = [self.painted(view, view.viewport().update) for _ in range(40)]
        self.say("100,000 tokens coloured: paint of what is in sight", again, must=16)
        bar, dice = view.verticalScrollBar(), random.Random(3)
        first = [self.painted(view, lambda: bar.setValue(dice.randint(0, bar.maximum()))) for _ in range(60)]
        self.say("100,000 tokens coloured: first paint of another place", first)

    # -- the event loop -----------------------------------------------------------------------------------------------

    def painted(self, widget: QWidget, act: Callable[[], object]) -> float:
        """Seconds of an act and of all painting that it asked for."""
        self.watch.forget()
        began = time.perf_counter()
        act()
        for _ in range(3):  # what one round asks for is painted by the next
            self.app.sendPostedEvents()
            self.app.processEvents(QEventLoop.ProcessEventsFlag.ExcludeSocketNotifiers)
        spent = time.perf_counter() - began
        assert self.watch.painted(widget), "nothing was painted: the time means nothing"
        return spent

    def run(self, loop: QEventLoop) -> None:
        """Let the window work until the loop is quit."""
        late = QTimer(singleShot=True, interval=PATIENCE_MS)
        late.timeout.connect(lambda: loop.exit(1))
        late.start()
        if loop.exec():
            raise TimeoutError(f"nothing came for {PATIENCE_MS / 1000} s")

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

    def log(self, what: str, value: float) -> None:
        """One figure without a limit."""
        print(json.dumps({"what": what, "value": value}), flush=True)

    def say(self, what: str, times: list[float], must: float | None = None) -> None:
        """Median, 95th percentile and maximum, as JSON lines."""
        ordered = sorted(times)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            value = round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 2)
            line: dict[str, object] = {"what": f"{what}, {name} of {len(ordered)}", "value": value, "unit": "ms"}
            if must is not None and name == "p95":
                line |= {"must": f"≤ {must:g} ms", "met": value <= must}
                self.good = self.good and value <= must
            print(json.dumps(line, ensure_ascii=False), flush=True)


def filters(read: Callable[[], contextlib.AbstractContextManager[Connection]]) -> list[TraceQuery]:
    """What people narrow a list by."""
    with read() as c:
        logs = c.scalars(select(schema.log.c.id).order_by(schema.log.c.id)).all()
    return [
        TraceQuery(log=logs[0]),
        TraceQuery(log=logs[-1], outcome=OutcomeFilter.WRONG),
        TraceQuery(outcome=OutcomeFilter.RIGHT),
        TraceQuery(model="policy-3"),
        TraceQuery(order=TraceOrder.NEWEST),
        TraceQuery(log=logs[1], order=TraceOrder.SAMPLE),
    ]


def _has_come(log: Node) -> bool:
    return log.children is not None


def composed() -> list[Filter]:
    """What people compose in the form."""
    wrong, long = Condition(Field.OUTCOME, Op.IS, "wrong"), Condition(Field.TOKENS, Op.MORE, "2000")
    return [
        Filter((wrong, long)),
        Filter((Condition(Field.ENDED, Op.IS, "length"),)),
        Filter((Condition(Field.CHARACTERS, Op.MORE, "1000"),)),
        Filter((Condition(Field.CHARACTERS, Op.MORE, "500"),)),
        Filter((Condition(Field.STEPS, Op.MORE, "3"),)),
        Filter((Condition(Field.TOKENS, Op.LESS, "1000"), Condition(Field.MODEL, Op.IS, "policy-3"))),
        Filter((Condition(Field.FLAG, Op.IS_NOT, "any"), wrong)),
        Filter((Condition(Field.LOWEST, Op.LESS, "0.5"), long), any_of=True),
        Filter((Condition(Field.PROBLEM, Op.HAS, "problem 7"), wrong)),
    ]


def special(c: Connection) -> tuple[int, int, int, int]:
    """The traces of a million words, of 10,000 steps, of 100,000 tokens, and one of the many."""
    found = [
        int(c.scalar(select(schema.trace.c.id).where(schema.trace.c.uid == f"{k:032x}")) or 0) for k in range(1, 5)
    ]
    return found[0], found[1], found[2], found[3]


# -- the workspace ----------------------------------------------------------------------------------------------------


def build(folder: Path, wanted: int, words: int) -> Path:
    """The workspace, made once a folder."""
    if (folder / "workspace.toml").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"making-{folder.name}-{os.getpid()}")
    with Workspace.open(aside, create=True) as workspace:
        with workspace.database.write() as c:
            fill(c, wanted, words)
        workspace.database.checkpoint()
    aside.replace(folder)
    return folder


def fill(c: Connection, wanted: int, words: int) -> None:
    """The four special traces first, then as many as are wanted, in ten logs of several models."""
    project = projects.create(c, "Bench").id
    batch = batches.begin(c, "import", project)
    batches.publish(c, batch, {})
    long = response(random.Random(1), words)
    add(c, batch, 1, long)
    many = response(random.Random(2), 10_000 * 12, step=12)
    steps = add(c, batch, 2, many)
    score(c, steps)
    tokens = add(c, batch, 3, response(random.Random(3), 65_000))
    put_tokens(c, tokens, batch, 100_000)
    crowd(c, batch, wanted)
    ids = select(schema.trace.c.id).order_by(schema.trace.c.id)
    projects.put_traces(c, project, tuple(c.scalars(ids.limit(4))), batch_id=batch)


def response(dice: random.Random, words: int, step: int = 40) -> str:
    """Thinking of so many words in paragraphs of about `step`, some with maths, and an answer."""
    parts = []
    while words > 0:
        line = [dice.choice(WORDS) + (str(dice.randint(0, 9999)) if dice.random() < 0.08 else "") for _ in range(step)]
        parts.append(" ".join(line))
        words -= step
    return "<think>\n" + "\n\n".join(parts) + "\n</think>\nThe answer is 42."


def add(c: Connection, batch: int, number: int, text: str) -> int:
    """Store one response with its blocks and steps."""
    close = text.index("</think>")
    blocks = (Block(BlockKind.THINKING, 8, close), Block(BlockKind.ANSWER, close + 9, len(text)))
    spans = (*segment(text, 8, close), *segment(text, close + 9))
    steps = tuple(Step(k, span.start, span.end) for k, span in enumerate(spans))
    new = traces.NewTrace(f"Problem {number}", text, (Message("assistant", blocks),), steps, uid=f"{number:032x}")
    return traces.add(c, new, batch_id=batch).trace_id


def score(c: Connection, trace_id: int) -> None:
    """Three scorers for one trace."""
    trace = traces.load(c, trace_id)
    dice = random.Random(4)
    for k in range(3):
        run = runs.prepare(c, uid=f"{k:032d}", name=f"prm-{k}", recipe="score", device="cpu", host="here", process="")
        batch = batches.begin(c, "ingest", run_id=run)
        record = ScoreRecord(
            id=f"s{k}",
            row=f"{trace.uid}:1",
            trace=trace.uid,
            segmentation=1,
            scorer=ScorerRef(name=f"prm-{k}", version=str(k) * 64),
            values=tuple(dice.random() for _ in trace.segmentation.steps),
        )
        scores.store_records(c, batch, [record])
        batches.publish(c, batch, {})


def put_tokens(c: Connection, trace_id: int, batch: int, count: int) -> None:
    """Values for so many tokens."""
    length = len(traces.load(c, trace_id).text)
    rng = np.random.default_rng(5)
    starts = np.sort(rng.choice(length, count, replace=False)).astype(np.uint32)
    logprob = -rng.exponential(0.6, count).astype(np.float32)
    token_values.put(c, trace_id, batch, TokenArrays(starts, logprob, rng.random(count).astype(np.float32)))


def crowd(c: Connection, batch: int, wanted: int) -> None:
    """Many traces of twelve short steps in ten logs."""
    logs = []
    for k in range(10):
        values = {"uid": f"log{k}", "batch_id": batch, "path": f"logs/run-{k}.eval"}
        key = c.execute(insert(schema.log).values(**values)).inserted_primary_key
        assert key is not None
        logs.append(int(key[0]))
    raw = c.connection.driver_connection
    assert raw is not None
    for sql, rows in tables(batch, wanted, logs):
        raw.executemany(sql, rows)


def tables(batch: int, wanted: int, logs: list[int]) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    """Statements and rows of the many."""
    numbers, fold = range(4, wanted + 1), fold_of("Problem")
    texts = [f"Step {o}: we multiply both sides by {o + 2} and go on, as nothing is lost." for o in range(12)]
    text, spans, at = "\n\n".join(texts), [], 0
    for each in texts:
        spans.append((at, at + len(each)))
        at += len(each) + 2
    ends = ("length", "stop", "stop", "stop", "stop", "stop", "stop")

    def traces_rows() -> Iterator[tuple[object, ...]]:
        for k in numbers:
            budget = json.dumps({"granted": 4096, "used": 400 + k % 3_000, "ended": ends[k % 7]})
            log, model, outcome = logs[k * 10 // (wanted + 1)], f"policy-{k % 5}", (1, 0, None)[k % 3]
            sample, epoch = str(k % 5_000), 1 + k // 5_000
            yield k, f"{k:032x}", k, batch, k, text, log, sample, epoch, model, outcome, budget

    yield (
        "INSERT INTO problem (id, uid, prompt, source, fold) VALUES (?, ?, ?, '', ?)",
        ((k, f"p{k}", f"Problem {k}: what is x?", fold) for k in numbers),
    )
    yield (
        "INSERT INTO trace (id, uid, problem_id, batch_id, line, text, log_id, sample, epoch, model, outcome, budget, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '2026')",
        traces_rows(),
    )
    yield (
        "INSERT INTO message (trace_id, ordinal, role, blocks) VALUES (?, 0, 'assistant', ?)",
        ((k, json.dumps([["answer", 0, len(text)]])) for k in numbers),
    )
    yield (
        "INSERT INTO segmentation (id, trace_id, version, method, created_at, steps) "
        "VALUES (?, ?, 1, 'import', '2026', ?)",
        ((k, k, len(spans)) for k in numbers),
    )
    yield (
        'INSERT INTO step (segmentation_id, ordinal, step_id, start, "end") VALUES (?, ?, ?, ?, ?)',
        ((k, o, o, start, end) for k in numbers for o, (start, end) in enumerate(spans)),
    )


if __name__ == "__main__":
    raise SystemExit(main())
