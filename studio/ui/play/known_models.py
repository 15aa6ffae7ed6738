"""The models of a workspace, those that travel with the app among them."""

from __future__ import annotations

from dataclasses import dataclass

from studio.errors import RunError
from studio.jobs import shipped
from studio.store import models
from studio.store.models import StoredModel
from studio.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Known:
    """The models of the workspace; `trouble` says why the shipped ones are not among them."""

    models: tuple[StoredModel, ...]
    trouble: str = ""

    def of(self, *kinds: str) -> list[StoredModel]:
        """Those of these kinds."""
        return [model for model in self.models if model.kind in kinds]


def read_known(workspace: Workspace) -> Known:
    """For a background thread; the shipped ones are put into the workspace where they are missing."""
    trouble = ""
    try:
        shipped.ensure(workspace)
    except (RunError, OSError) as error:
        trouble = str(error)
    with workspace.database.read() as c:
        return Known(models.all_models(c), trouble)
