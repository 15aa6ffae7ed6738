"""Regression tests on models: the order of a run, and one that is queued when a policy has been made."""

from __future__ import annotations

import logging

from studio.errors import SteplensError
from studio.jobs.prepare import create_run
from studio.jobs.roles import POLICIES
from studio.jobs.values import RunOrder
from studio.settings import Settings
from studio.store import regressions
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract.spec import SpecError
from trainer.contract.specs.evaluate import Suite

log = logging.getLogger(__name__)
SAMPLES, TEMPERATURE = 4, 0.7


def order(model: str, name: str, device: str = "cpu") -> RunOrder:
    """All tests in force on a model (its uid, name or folder)."""
    parameters = {"model": model, "suite": Suite.REGRESSIONS.value, "n": SAMPLES, "temperature": TEMPERATURE}
    return RunOrder("evaluate", parameters, name=f"Never again: {name}", device=device)


def after(workspace: Workspace, run: StoredRun) -> str:
    """Queue the tests for the policy that a run made, if the user wants that; the new run's uid, empty without one.

    What stands in its way is logged: the model is in the store all the same.
    """
    if run.recipe not in POLICIES or not Settings.load().never_again:
        return ""
    with workspace.database.read() as c:
        if not regressions.all_regressions(c):
            return ""
    try:
        return create_run(workspace, order(f"{run.folder}/model", run.name, run.device))
    except (SteplensError, SpecError) as error:
        log.warning("the regression tests of %r were not queued: %s", run.name, error)
        return ""
