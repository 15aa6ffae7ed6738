"""The Play page in the real window: how soon the first token is painted, and whether the window stays interactive.

    python -m bench.play [--smollm FOLDER] [--rounds 12]

Painted: from the command of Ctrl+Return to the end of the paint event that shows the first text, with a worker that
stands ready, beside the time that the model alone needs for a prompt and one token, in turns. A frame is what the GUI
thread does for one delivery: taking the events, and painting. The long thought is 8,000 tokens fed to a lane as the
worker tells them; the race is four strategies of the tiny policy, its frames timed while the worker computes beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from bench.answering import THREADS, first_token
from studio.app import Studio, application
from studio.jobs import shipped
from studio.jobs.shipped import Example
from studio.settings import Settings
from studio.ui.actions import Page
from studio.ui.play.lane import Lane
from studio.ui.play.page import PlayPage
from studio.ui.play.values import ENTRANTS, Budgets, Models, Play
from trainer.contract.events import Grew, Wrote
from trainer.models.answering import Writer
from trainer.models.asking import Manner
from trainer.models.policies import load_policy
from trainer.reasoning.tries import make_tries

SLOWER, FRAME_MS, WARM, TOKENS = 1.5, 33.0, 2, 8_000
PATIENCE_S = 300
Frame = tuple[float, float]


class Bench:
    """One window, its Play page, and the problems to ask."""

    def __init__(self, folder: Path, rounds: int) -> None:
        app = QApplication.instance() or application(["bench"])
        assert isinstance(app, QApplication)
        self.studio = Studio(app, Settings.load())
        self.studio.settings.annotator_name = self.studio.settings.annotator_name or "Bench"
        self.studio.open(folder, create=True)
        assert self.studio.window is not None
        assert self.studio.context is not None
        self.context = self.studio.context
        self.studio.window.resize(1360, 860)
        self.rounds, self.met = rounds, True
        made = make_tries(2 * (rounds + WARM), seed=11, keeps_checking=True)
        self.problems = [tried.search.problem for tried in made]
        self.studio.window.show_page(Page.PLAY)
        page = self.studio.window.page_widget(Page.PLAY)
        assert isinstance(page, PlayPage)
        self.page = page
        self.wait(page.ask_button.isEnabled)  # the models are known

    def measure(self, smollm: str | None) -> None:
        """Everything."""
        workspace = self.context.workspace
        known = shipped.ensure(workspace)
        self.first_paint("tiny, 0.4 M", known.policy.uid, workspace.path / known.policy.folder, SLOWER)
        if smollm:
            folder = Path(smollm)
            self.first_paint("SmolLM2-135M", str(folder), folder, SLOWER)
        self.race()
        self.long_thought()

    def wait(self, holds: Callable[[], bool]) -> None:
        """Let the window work until this is true."""
        until = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > until:
                raise RuntimeError("nothing came within five minutes")
            loop = QEventLoop()
            QTimer.singleShot(2, loop.quit)
            loop.exec()

    def play(self, policy: str, prm: str, problem: str, tokens: int, *titles: str) -> Play:
        """One trace, or these strategies."""
        entrants = tuple(each for each in ENTRANTS if each.title in (titles or ("One trace",)))
        return Play(problem, None, Models(policy, prm), Budgets(tokens, tokens), entrants)

    def first_paint(self, name: str, policy: str, folder: Path, must: float) -> None:
        """Asked to painted, beside the model's own, in turns."""
        own = Writer(load_policy(str(folder)), Manner())
        alone, painted = [], []
        for number in range(self.rounds + WARM):
            bare = first_token(own, self.problems[2 * number])
            seconds = self.asked_to_painted(policy, self.problems[2 * number + 1])
            if number >= WARM:
                alone.append(bare)
                painted.append(seconds)
        ratios = [each / bare for each, bare in zip(painted, alone, strict=True)]
        self.say(f"{name}: the model's own first token", statistics.median(alone) * 1e3, "ms")
        self.say(f"{name}: asked to first token painted", statistics.median(painted) * 1e3, "ms")
        self.say(f"{name}: painted to own", statistics.median(ratios), "times", must)
        self.say(f"{name}: painted to own, p95 of {self.rounds}", p95(ratios), "times")

    def asked_to_painted(self, policy: str, problem: str) -> float:
        """Seconds from Ctrl+Return's command, with this in the form, to the first text on the screen."""
        form = self.page.form
        form.set_problem(Example(problem, ""))
        if form.policy.currentData() != policy:
            form.policy.addItem(Path(policy).name, policy)
            form.policy.setCurrentIndex(form.policy.count() - 1)
        form.prm.setCurrentIndex(form.prm.findData(""))  # one trace is then the recipe generate
        form.set_budgets(12, 12)
        self.wait(self.page.ask_button.isEnabled)
        began = time.perf_counter()
        self.context.actions.run("play_ask")
        seen: list[float] = []
        lane = self.page.lanes[0]
        heard = lane.text.firstPainted.connect(lambda: seen.append(time.perf_counter()))
        self.wait(lambda: not self.page.race.is_running)
        lane.text.firstPainted.disconnect(heard)
        if lane.outcome is None:
            raise RuntimeError(lane.state.text())
        return seen[0] - began

    def race(self) -> None:
        """Frames of four strategies while the worker computes."""
        known = shipped.ensure(self.context.workspace)
        frames: list[Frame] = []
        play = self.play(
            known.policy.uid, known.prm.uid, self.problems[0], 64, "One trace", "Best-of-n", "Beam", "MCTS"
        )
        self.page.start(play)
        self.page.race.streamed.disconnect()
        self.page.race.streamed.connect(lambda place, events: frames.extend(turns(self.page.lanes[place], events)))
        self.wait(lambda: not self.page.race.is_running)
        self.frames("four strategies racing", frames)

    def long_thought(self) -> None:
        """8,000 tokens of thinking in one lane."""
        play = self.play("", "", self.problems[0], TOKENS)
        lane = Lane(self.context, play.entrants[0], play, "", alone=True)
        lane.resize(900, 600)
        lane.show()
        frames: list[Frame] = []
        words, place = ["<think>\n"], 8
        for number in range(TOKENS):
            words.append(f"Step {number}: 3 + {number} = {3 + number}\n" if number % 8 == 7 else "so ")
        for first in range(0, TOKENS, 10):
            starts, text = [], ""
            for word in words[first : first + 10]:
                starts.append(place + len(text) - 8)
                text += word
            place += len(text)
            values = (-0.5,) * len(starts)
            event = Wrote(
                sequence=first, at=0.0, step=0, attempt=1, request="", trace=0, text=text, starts=tuple(starts),
                logprobs=values, entropy=values,
            )  # fmt: skip
            frames += turns(lane, [event])
        self.frames(f"a thought of {TOKENS:,} tokens", frames)
        lane.deleteLater()

    def frames(self, name: str, frames: list[Frame]) -> None:
        """Median and longest."""
        walls, computed = zip(*frames, strict=True)
        self.say(f"{name}: a frame", statistics.median(walls) * 1e3, "ms")
        self.say(f"{name}: the longest of {len(frames)} frames", max(walls) * 1e3, "ms", FRAME_MS)
        self.say(f"{name}: the longest, without what other processes took", max(computed) * 1e3, "ms")

    def say(self, what: str, value: float, unit: str, must: float | None = None) -> None:
        """One figure."""
        self.met &= must is None or value <= must
        figure = {"what": what, "value": round(value, 2), "unit": unit}
        print(json.dumps(figure if must is None else figure | {"must": must}), flush=True)

    def close(self) -> None:
        """Leave no worker behind."""
        jobs = self.context.jobs
        for view in jobs.runs():
            if not view.state.is_final:
                jobs.cancel(view.id)
        self.wait(lambda: all(view.state.is_final for view in jobs.runs()))
        self.studio.close()


def p95(values: Sequence[float]) -> float:
    """The value that one in twenty is above."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def turns(lane: Lane, events: list[Wrote | Grew]) -> list[Frame]:
    """Taking what came and painting it; and the tree, which has a turn of its own."""

    def text() -> None:
        lane.take(events)
        lane.text.viewport().repaint()
        lane.budget.repaint()

    def tree() -> None:
        lane.growth.stop()
        lane.show_growth()
        lane.tree.repaint()

    found = [timed(text)]
    if lane.growth.isActive():
        found.append(timed(tree))
    return found


def timed(act: Callable[[], None]) -> Frame:
    """Seconds by the clock, and of this thread's computing."""
    began, computed = time.perf_counter(), time.thread_time()
    act()
    return time.perf_counter() - began, time.thread_time() - computed


def main() -> int:
    """Print the figures as JSON lines; exit code 1 when one is worse than it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm", default=os.environ.get("STEPLENS_SMOLLM"), help="folder of SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        os.environ["XDG_CONFIG_HOME"] = scratch
        bench = Bench(Path(scratch) / "workspace", args.rounds)
        try:
            bench.measure(args.smollm)
        finally:
            bench.close()
    return 0 if bench.met else 1


if __name__ == "__main__":
    sys.exit(main())
