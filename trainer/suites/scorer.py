"""The PRM of an evaluation: it scores samples, or is measured itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelerate import Accelerator

from trainer.contract.spec import EvaluateSpec
from trainer.models.load import ModelError, load_prm
from trainer.models.prm import Judges
from trainer.placement import PlacementError
from trainer.rl.rewarder import PrmJudge
from trainer.runtime.worker import RunFailed, Worker

PRM = "prm"


@dataclass(frozen=True, slots=True)
class Who:
    """A model by name and checksum; the checksum is empty for one that the run does not bring."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded PRM, and what it calls wrong."""

    judge: PrmJudge
    who: Who
    threshold: float
    parameters: int
    judges_outcome: bool = False

    def of_trace(self, scores: Sequence[float | None]) -> Sequence[float | None]:
        """What of the step scores says something of a whole trace: of an outcome reward model the last alone."""
        return scores[-1:] if self.judges_outcome else scores

    def scores(
        self, problems: Sequence[str], steps: Sequence[Sequence[str]], check: Callable[[], None]
    ) -> list[tuple[float | None, ...]]:
        """P(correct) of every step; of a row that the PRM's convention cannot place, None for all."""
        try:
            return self.judge.scores(problems, steps, check)
        except PlacementError:
            if len(problems) == 1:
                return [(None,) * len(steps[0])]
        alone = (self.scores([one], [some], check) for one, some in zip(problems, steps, strict=True))
        return [row for rows in alone for row in rows]


def who(worker: Worker, role: str) -> Who:
    """The model that plays a role, as the run names it; empty where none does."""
    given = next((model for model in worker.spec.models if model.role == role), None)
    named = str(worker.spec.parameters.get(role, ""))
    return Who(named, "") if given is None else Who(given.name or named, given.checksum)


def load_scorer(worker: Worker, spec: EvaluateSpec) -> Scorer:
    """The PRM on the run's device. Raises RunFailed."""
    given = next((model for model in worker.spec.models if model.role == PRM), None)
    source = str(worker.folder.path / given.path) if given else spec.prm
    if not source:
        raise RunFailed(
            f"no PRM chosen; set `prm` to a PRM made here or to a folder with one, for {spec.suite.heading}"
        )
    try:
        loaded = load_prm(source)
    except ModelError as error:
        raise RunFailed(str(error)) from error
    loaded.prm.to(Accelerator(cpu=worker.spec.device == "cpu").device)
    settings = loaded.prm.settings
    weights = sum(weight.numel() for weight in loaded.prm.parameters())
    threshold = settings.threshold if spec.threshold < 0 else spec.threshold
    judge = PrmJudge(loaded, pass_tokens=spec.batch_tokens)
    return Scorer(judge, who(worker, PRM), threshold, weights, settings.judged is Judges.OUTCOME)
