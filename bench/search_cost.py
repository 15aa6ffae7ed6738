"""Best-of-n and majority of the shipped tiny policy against one pass of a larger one: cost against accuracy.

    python -m bench.search_cost [--keep FOLDER] [--picture docs/pictures/search-cost.png]

The small policy and its PRM are those that travel with the app (`bench.shipped` makes them). The larger one has nearly
nine times the weights, more than four times those of policy and PRM together. It learns by the recipe sft from the
same teacher's demonstrations, those alone that end in the right answer. Both answer the same test problems under the
same budget: the small one with 16 traces at temperature 1, three seeds; the larger one with its most probable trace
(greedy), and beside it with one at temperature 1, as each of the small one's is. Cost is tokens times parameters,
those that the PRM reads included.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.budgets import ANSWER, figure
from bench.shipped import BEST_AT, PROBLEMS, SEEDS, rows_of
from bench.stages import Done, Stages, finished
from studio.jobs.shipped import ensure
from studio.workspace import Workspace
from trainer.contract.forms import BudgetReward
from trainer.contract.generated import Settings
from trainer.contract.records import SearchRecord, Split, TraceRecord
from trainer.contract.run_folder import RunFolder, all_records
from trainer.models.load import load_prm
from trainer.models.policies import load_policy
from trainer.models.tiny import make_tiny
from trainer.reasoning.cost_accuracy import Attempted, Contest, CostPoint, Models, attempted, contest, plan
from trainer.reasoning.grader import Grader
from trainer.reasoning.metrics import Interval
from trainer.reasoning.response import read_response
from trainer.reasoning.tries import TRY_COUNT, TRY_PRESET, TRY_SEED, make_tries, try_row
from trainer.reasoning.votes import equal_by

MOST = 16
LESSONS = 40_000  # problems of the larger policy's teacher; those of the test are never among its lessons
WATCHED = 300
WIDTH, LAYERS = 256, 4
SFT: dict[str, Any] = {
    **TRY_PRESET, "budget": BudgetReward.EXACT, "rate": 1.5e-3, "batch_size": 32, "max_steps": 600, "threads": 2,
    "eval_every": 100, "checkpoint_every": 50,
}  # fmt: skip
SHARED: dict[str, Any] = {
    "max_thinking_tokens": BEST_AT, "max_answer_tokens": ANSWER, "temperature": 1.0, "aggregation": "last",
    "threads": 2,
}  # fmt: skip


def main() -> int:
    """Train what is not there, search, print the figures and draw them; 1 when the comparison was not to be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; what stands there is not repeated")
    parser.add_argument("--picture", type=Path, help="the window's own chart, as SVG or PNG")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steplens-bench-") as scratch:
        bench = Bench(given.keep or Path(scratch))
        met, whole = bench.is_larger_better(), bench.tell()
    if given.picture is not None:
        draw(whole, given.picture)
    return 0 if met else 1


class Bench:
    """The three models, and searches with them, in a folder."""

    def __init__(self, root: Path) -> None:
        self._stages = Stages(root)
        with Workspace.open(root / "workspace", create=not (root / "workspace").exists()) as workspace:
            shipped = ensure(workspace)
            self.small = workspace.path / shipped.policy.folder
            self.prm = workspace.path / shipped.prm.folder
        is_new = finished(RunFolder(root / "larger")) is None
        taught = self._larger(root / "larger-untaught")
        if is_new:
            figure("the larger policy: time to teach it", taught.seconds / 60, "min")
        self.large = taught.folder.model
        self.tested = [row for row in rows_of(TRY_COUNT) if row.split is Split.TEST][:PROBLEMS]
        self._tries: dict[tuple[str, int], list[Attempted]] = {}

    def compared(self, seeds: Sequence[int], *, greedy: bool) -> Contest:
        """Both on all test problems, with these seeds together."""
        ours, theirs = plan("small", "prm", "large", MOST, greedy=greedy, **SHARED)
        small, large = {"model": self.small, "prm": self.prm}, {"model": self.large}
        one = "greedy" if greedy else "one-pass"
        return contest(
            [each for seed in seeds for each in self._tried("best-of", seed, ours.settings, small)],
            Models("the tiny policy", weights(self.small), weights_of_prm(self.prm)),
            [each for seed in seeds for each in self._tried(one, 0 if greedy else seed, theirs.settings, large)],
            Models("the larger", weights(self.large)),
        )

    def is_larger_better(self) -> bool:
        """Whether the larger policy is ahead of the small one beyond chance, each with its most probable trace."""
        _, one = plan("small", "prm", "large", 1, **SHARED)
        small = self._tried("small-greedy", 0, one.settings, {"model": self.small})
        large = self._tried("greedy", 0, one.settings, {"model": self.large})
        both = Models("small", weights(self.small)), Models("large", weights(self.large))
        made = contest(small, both[0], large, both[1])
        lead = made.leads[0]
        accuracy = made.small[0].accuracy
        figure(f"one greedy pass of the tiny policy {_range(accuracy)}", accuracy.value,
               f"right, {_cost(made.small[0], made.large)}")  # fmt: skip
        what = f"one greedy pass of the larger over one of the tiny policy [{-lead.high:+.3f}, {-lead.low:+.3f}]"
        figure(what, -lead.value, "", "> 0", lead.high < 0)
        return lead.high < 0

    def _larger(self, bare: Path) -> Done:
        """A policy of the same kind with more weights, taught by right demonstrations alone."""
        made = make_tries(LESSONS, seed=TRY_SEED, keeps_checking=True, any_order=True)
        rows = [try_row(one, number) for number, one in enumerate(made) if one.correct]
        if not bare.exists():
            texts = [text for row in rows[:20_000] for text in (row.problem, row.response or "")]
            fresh = make_tiny(texts, 0, hidden=WIDTH, layers=LAYERS)
            fresh.model.save_pretrained(bare)
            fresh.tokenizer.save_pretrained(bare)
        lessons = [row for row in rows if row.split is Split.TRAIN]
        watched = [row for row in rows if row.split is Split.VALIDATION][:WATCHED]
        return self._stages.do("larger", "sft", [*lessons, *watched], {**SFT, "model": str(bare.resolve())})

    def _tried(self, name: str, seed: int, settings: Settings, models: dict[str, Path]) -> list[Attempted]:
        """The searches of one seed, as runs of the recipe."""
        if (name, seed) not in self._tries:
            given = {**settings, "seed": seed}
            done = self._stages.do(f"{name}-{seed}", "search", self.tested, given, models)
            figure(f"{name}, seed {seed}: time of {len(self.tested)} searches", done.seconds / 60, "min")
            self._tries[name, seed] = tries(done)
        return self._tries[name, seed]

    def tell(self) -> Contest:
        """Figures of each seed, then of all together; that with the greedy pass of the larger."""
        small, prm, large = weights(self.small), weights_of_prm(self.prm), weights(self.large)
        figure("weights: the tiny policy, its PRM, the larger policy", f"{small:,}, {prm:,}, {large:,}", "")
        times = large / (small + prm)
        figure("weights of the larger over those of policy and PRM together", times, "x", ">= 4", times >= 4)
        for seed in range(SEEDS):
            self._tell_points(f"seed {seed}", self.compared([seed], greedy=True))
        drawn, whole = (self.compared(range(SEEDS), greedy=greedy) for greedy in (False, True))
        self._tell_points("all seeds, the larger at temperature 1", drawn)
        self._tell_points("all seeds", whole)
        figure("the larger at temperature 1", drawn.sentence, "")
        figure("the larger, greedy", whole.sentence, "")
        return whole

    def _tell_points(self, name: str, made: Contest) -> None:
        one = made.large
        what = f"{name}: one pass of the larger {_range(one.accuracy)}"
        figure(what, one.accuracy.value, f"right, {_cost(one, one)}")
        for points, leads in ((made.small, made.leads), (made.majority, made.majority_leads)):
            for point, lead in zip(points, leads, strict=True):
                unit = (
                    f"right, {_cost(point, one)}; over the larger {lead.value:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]"
                )
                figure(f"{name}: {point.title} {_range(point.accuracy)}", point.accuracy.value, unit)


def tries(done: Done) -> list[Attempted]:
    """The searches of a run."""
    records = list(all_records(done.folder.records))
    traces = {record.id: record for record in records if isinstance(record, TraceRecord)}
    found = [record for record in records if isinstance(record, SearchRecord)]
    with Grader(1) as grader:
        return [
            attempted(
                record,
                [traces[uid].outcome for uid in record.traces],
                [read_response(traces[uid].text).answer for uid in record.traces],
                equal_by(grader),
            )
            for record in found
        ]


def weights(folder: Path) -> int:
    """Parameters of a policy."""
    return sum(weight.numel() for weight in load_policy(str(folder)).language.parameters())


def weights_of_prm(folder: Path) -> int:
    """Parameters of a PRM."""
    return sum(weight.numel() for weight in load_prm(str(folder)).prm.parameters())


def draw(made: Contest, file: Path) -> None:
    """The chart of the window, as the window exports it."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from studio.ui.evaluate.models_export import write
    from studio.ui.play.contest_chart import ContestChart
    from studio.ui.theme import Theme, ThemeName

    app = QApplication([])
    chart = ContestChart(Theme(app, ThemeName.LIGHT))
    chart.resize(760, 380)
    chart.show_contest(made)
    write(file, {}, chart)


def _range(of: Interval) -> str:
    return f"[{of.low:.3f}, {of.high:.3f}]"


def _cost(point: CostPoint, large: CostPoint) -> str:
    tokens = f"{point.tokens:.0f} tokens drawn, {point.tokens_read:.0f} read, {point.prm_tokens:.0f} by the PRM"
    return f"{tokens}, cost {point.cost / 1e6:.0f} M = {point.cost / large.cost:.2f} x the larger"


if __name__ == "__main__":
    sys.exit(main())
