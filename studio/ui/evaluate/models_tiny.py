"""What a first evaluation can be made of: the models that travel with the app and a file of problems of their kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from studio.jobs import shipped
from studio.store.models import StoredModel
from studio.workspace import Workspace
from trainer.contract.records import Split
from trainer.contract.spec import Value
from trainer.contract.specs.evaluate import Suite
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.tries import make_tries

FOLDER = "suites"
FILE = "tiny-problems.jsonl"
COUNT, SEED = 60, 20_261
VALUES: dict[str, Value] = {
    "suite": Suite.OWN.value,
    "n": 4,
    "max_thinking_tokens": 40,
    "max_answer_tokens": 9,
    "temperature": 1.0,
    "top_p": 1.0,
    "aggregation": "last",
}
"""Settings that suit the tiny models: thinking tries one number after another, the PRM speaks with the last step."""


@dataclass(frozen=True, slots=True)
class Tiny:
    """The two models and the file of problems."""

    policy: StoredModel
    prm: StoredModel
    problems: Path


def files(workspace: Workspace) -> tuple[Path, ...]:
    """Files of problems that lie in the workspace's folder `suites`."""
    return tuple(sorted(each for each in (workspace.path / FOLDER).glob("*") if each.suffix in (".json", ".jsonl")))


def ready(workspace: Workspace) -> Tiny:
    """Put models and problems into the workspace where they are not there yet. Raises RunError, OSError."""
    models = shipped.ensure(workspace)
    path = workspace.path / FOLDER / FILE
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        aside = path.with_suffix(".part")
        aside.write_text("".join(f"{json.dumps(row)}\n" for row in problems(COUNT)), "utf-8")
        aside.replace(path)
    return Tiny(models.policy, models.prm, path)


def problems(count: int) -> list[dict[str, str]]:
    """Problems of the test split, which the tiny models were never taught; always the same."""
    made = (tried.search for tried in make_tries(20 * count, seed=SEED, keeps_checking=True))
    kept = [search for search in made if split_of(fold_of(search.problem)) is Split.TEST]
    return [{"problem": search.problem, "answer": str(search.right)} for search in kept[:count]]
