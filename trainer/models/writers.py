"""What recipes share that let a policy write: it is loaded, and every problem is granted its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from accelerate import Accelerator

from trainer.contract.specs.generate import DifficultyBy
from trainer.models.answering import Manner, Writer
from trainer.models.difficulty import OwnJudge
from trainer.models.load import ModelError
from trainer.models.policies import load_policy
from trainer.reasoning.budget import Grant, allocate
from trainer.runtime.worker import RunFailed, Worker

Classifier = Callable[[Sequence[str]], Sequence[float]]
"""Problems to difficulties in [0, 1]."""


def load_writer(worker: Worker, *, role: str = "model", manner: Manner | None = None, rows: int = 64) -> Writer:
    """The policy that plays a role in this run, on its device. Raises RunFailed."""
    given = next((model for model in worker.spec.models if model.role == role), None)
    source = str(worker.folder.path / given.path) if given else str(worker.spec.parameters.get(role, ""))
    if not source:
        raise RunFailed(f"no policy chosen; set `{role}` to a policy made here, a folder, a GGUF file or a hub id")
    try:
        policy = load_policy(source)
    except ModelError as error:
        raise RunFailed(str(error)) from error
    policy.language.to(Accelerator(cpu=worker.spec.device == "cpu").device).eval()
    return Writer(policy, manner, rows=rows)


def load_classifier(worker: Worker) -> Classifier | None:
    """The difficulty classifier of this run; None where none is named. Raises RunFailed."""
    given = next((model for model in worker.spec.models if model.role == "classifier"), None)
    named = given.path if given else str(worker.spec.parameters.get("classifier", ""))
    if not named:
        return None
    from trainer.routing.difficulty import Difficulty, DifficultyModel
    from trainer.routing.learning import DIFFICULTY_FILE

    path = worker.folder.path / named
    file = path / DIFFICULTY_FILE if path.is_dir() else path
    try:
        difficulty = Difficulty(msgspec.json.decode(file.read_bytes(), type=DifficultyModel))
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise RunFailed(
            f"{file} is no difficulty classifier: {error}; choose another or let the policy judge"
        ) from error
    return lambda problems: [difficulty(problem) for problem in problems]


class Granter:
    """Budgets of problems: by hand, or from the difficulty that somebody sees in them."""

    def __init__(self, writer: Writer, classifier: Classifier | None = None) -> None:
        """`classifier` is asked only where one judges."""
        self._writer, self._classifier = writer, classifier
        self._own = OwnJudge(writer.policy, writer.decoder, writer.asking)

    def grants(
        self,
        problems: Sequence[str],
        *,
        thinking: int,
        answer: int,
        difficulty: float = -1.0,
        by: DifficultyBy = DifficultyBy.HAND,
        manner: Manner | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> list[Grant]:
        """A grant of each: `thinking` and `answer` as they are, or both together split by a difficulty.

        Raises RunFailed where a classifier is asked for and there is none.
        """
        if by is DifficultyBy.HAND:
            one = Grant(thinking, answer, None, "hand") if difficulty < 0 else allocate(thinking + answer, difficulty)
            return [one] * len(problems)
        if by is DifficultyBy.POLICY:
            judged = self._own.judge(problems, manner or self._writer.manner, check)
            plain = Grant(thinking, answer, None, "hand")  # of a problem that cannot be read, and so is not written
            return [plain if one is None else allocate(thinking + answer, one.difficulty, one.by) for one in judged]
        if self._classifier is None:
            raise RunFailed("no difficulty classifier chosen; set `classifier`, or let the policy judge")
        found = self._classifier(problems)
        return [allocate(thinking + answer, min(1.0, max(0.0, float(one))), "classifier") for one in found]
