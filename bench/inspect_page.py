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
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer, SignalInstance
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from bench.inspect_filters import conditions, joined, ordered, plain
from bench.inspect_workspace import build, special
from studio.app import Studio, application
from studio.settings import Settings
from studio.store.trace_list import TraceQuery
from studio.ui.actions import Page
from studio.ui.inspect.log_tree_model import Node

PATIENCE_MS = 30_000
ROUNDS = 9
FILTERED_MS = 100


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
        for query in plain(self.context.workspace.database.read):
            times += [self.listed(query) for _ in range(3)]
        self.say("filtered list, rows there", times, must=FILTERED_MS)
        self.each("list narrowed by one condition, rows there", [TraceQuery(filter=f) for f in conditions()])
        self.each("list narrowed by conditions joined, rows there", [TraceQuery(filter=f) for f in joined()])
        self.each("list in another order, narrowed or not, rows there", ordered())
        self.listed(TraceQuery())
        self.tree()

    def each(self, what: str, queries: list[TraceQuery]) -> None:
        """Lists one after the other, each several times: all times together, and which list is the slowest of all."""
        times = {query: [self.listed(query) for _ in range(ROUNDS)] for query in queries}
        self.say(f"{what} ({len(queries)})", [time for each in times.values() for time in each], must=FILTERED_MS)
        slowest = max(times, key=lambda query: quantile(times[query], 0.95))
        self.say(f"the slowest of these: {told(slowest)}", times[slowest], must=FILTERED_MS)

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
        self.page.reader.held.clear()
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
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            value = round(quantile(times, share) * 1000, 2)
            line: dict[str, object] = {"what": f"{what}, {name} of {len(times)}", "value": value, "unit": "ms"}
            if must is not None and name == "p95":
                line |= {"must": f"≤ {must:g} ms", "met": value <= must}
                self.good = self.good and value <= must
            print(json.dumps(line, ensure_ascii=False), flush=True)


def quantile(times: list[float], share: float) -> float:
    """The time below which this share of them is; the last for 1."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def told(query: TraceQuery) -> str:
    """A list's conditions and order for a person."""
    order = "" if query.order is TraceQuery().order else query.order.value
    return ", ".join(filter(None, (str(query.filter), order)))


def _has_come(log: Node) -> bool:
    return log.children is not None


if __name__ == "__main__":
    raise SystemExit(main())
