"""The PRMs of one run: the one it began with, and those that a person put in its place after an alarm.

Which PRM is in force follows from the optimiser step and spec.json alone, so that an update that is written again is
scored by the PRM that scored it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import read_events
from trainer.models.load import ModelError, load_prm
from trainer.rl.rewarder import PrmJudge
from trainer.runtime.memory import release
from trainer.runtime.worker import RunFailed, Worker

PRM = "prm"
REFRESHED = "prm_refreshed"
"""The code of the notice that another PRM scores from now on."""


class Judges:
    """A judge that changes its PRM where spec.json says so; one PRM is in memory at a time."""

    is_there = True

    def __init__(self, worker: Worker, source: str, device: torch.device) -> None:
        """`source` is the PRM of a run that brings none in its folder: a path or hub id."""
        self._worker, self._device = worker, device
        brought = [model for model in worker.spec.models if model.role == PRM]
        self._refs = sorted(brought, key=lambda model: model.from_step) or [
            ModelRef(role=PRM, path=source, checksum="", name=source)
        ]
        self._used: ModelRef | None = None
        self._judge = PrmJudge(None)

    def at(self, step: int) -> None:
        """Have the PRM that is in force after `step` optimiser steps. Raises RunFailed when it cannot be loaded."""
        wanted = [ref for ref in self._refs if ref.from_step <= step][-1]
        if wanted == self._used:
            return
        self._worker.progress("loading the models", 1, 2, unit="models", force=True)
        source = str(self._worker.folder.path / wanted.path) if wanted.checksum else wanted.path
        self._judge, self._used = PrmJudge(None), None  # the old one goes before the new one is read
        release()
        try:
            loaded = load_prm(source)
        except ModelError as error:
            raise RunFailed(str(error)) from error
        loaded.prm.to(self._device)
        self._judge, self._used = PrmJudge(loaded), wanted
        if wanted.from_step:
            self._tell(wanted)

    @property
    def version(self) -> str:
        """The checksum of the PRM in force; empty where the run brings none."""
        return "" if self._used is None else self._used.checksum

    def scores(
        self, problems: Sequence[str], steps: Sequence[Sequence[str]], check: Callable[[], None] = lambda: None
    ) -> list[tuple[float | None, ...]]:
        """P(correct) of every step, by the PRM in force."""
        return self._judge.scores(problems, steps, check)

    def _tell(self, ref: ModelRef) -> None:
        """Once a PRM, however often the run is resumed from there."""
        text = (
            f"from step {ref.from_step} on, step scores come from the PRM {ref.name or ref.path} "
            f"({ref.checksum[:12]}); the alarms before it are acknowledged and the history of alarms begins anew"
        )
        told = (event for event in read_events(self._worker.folder.events)[0] if isinstance(event, events.Notice))
        if not any(event.code == REFRESHED and event.message == text for event in told):
            self._worker.notice(Level.INFO, REFRESHED, text, from_step=ref.from_step)
