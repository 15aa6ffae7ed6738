"""The tiny policy and PRM that travel with the app, put into a workspace when somebody first needs a model.

They are made by `python -m bench.shipped`; docs/reason.md says how.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from studio.domain import new_uid
from studio.errors import RunError
from studio.store import models
from studio.store.models import StoredModel
from studio.workspace import Workspace
from trainer.contract.forms import Aggregation
from trainer.contract.run_folder import sha256_of_folder


@dataclass(frozen=True, slots=True)
class Example:
    """A problem with its reference answer."""

    problem: str
    reference: str


POLICY, PRM = "Tiny policy", "Tiny PRM"
THINKING = (24, 96)
"""Least and most tokens of thinking that the policy was taught to hear (budget_low and budget_high of its run)."""
AGGREGATION = Aggregation.LAST
"""The PRM's score of a step is how often the policy still gets there, so the last one is that of the trace."""
EXAMPLES = (
    Example("Which of 6, 9, 12, 7, 8, 19 becomes 10? Subtract 4. Double it.", "9"),
    Example("Which of 18, 13, 17, 10, 19, 15 becomes 10? Subtract 9. Add 4.", "15"),
    Example("Which of 8, 15, 13, 10, 5, 20 becomes 10? Subtract 3. Add 5.", "8"),
    Example("Which of 7, 2, 8, 12, 15, 4 becomes 10? Double it. Add 6.", "2"),
)
"""Problems of the kind that the tiny policy was taught, none of which it was taught itself."""
_FOLDERS = ((POLICY, "sft", "policy"), (PRM, "prm", "prm"))


@dataclass(frozen=True, slots=True)
class Shipped:
    """The two models as this workspace has them."""

    policy: StoredModel
    prm: StoredModel


def ensure(workspace: Workspace) -> Shipped:
    """Copy the models into the workspace where they are not there yet. Raises RunError when the app came without."""
    made = {name: _one(workspace, name, kind, folder) for name, kind, folder in _FOLDERS}
    return Shipped(made[POLICY], made[PRM])


def is_policy(model: StoredModel) -> bool:
    """Whether this is the policy that travels with the app, as it came."""
    return model.run_id is None and model.name == POLICY and model.folder == f"models/policy-{model.checksum[:12]}"


def is_prm(model: StoredModel) -> bool:
    """Whether this is the PRM that travels with the app, as it came."""
    return model.run_id is None and model.name == PRM and model.folder == f"models/prm-{model.checksum[:12]}"


def _one(workspace: Workspace, name: str, kind: str, folder: str) -> StoredModel:
    with resources.as_file(resources.files("resources") / "models" / folder) as source:
        if not (source / "config.json").is_file():
            raise RunError(
                f"{source} is not there: this copy of Steplens came without its tiny models; install it anew"
            )
        checksum = sha256_of_folder(source)
        place = f"models/{folder}-{checksum[:12]}"
        if not (workspace.path / place).exists():
            _copy(source, workspace.path / place)
    entry = {"name": name, "kind": kind, "folder": place, "checksum": checksum, "base": "tiny"}
    workspace.database.run(lambda c: models.adopt(c, **entry))
    with workspace.database.read() as c:
        found = models.find(c, place)
    assert found is not None, "it was entered in the transaction before"
    return found


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all; of two that copy at once one is first and the other finds it done."""
    aside = target.with_name(f".{target.name}-{new_uid()[:8]}")
    shutil.copytree(source, aside)
    try:
        aside.rename(target)
    except OSError:
        shutil.rmtree(aside)
        if not target.is_dir():
            raise
