"""Runs of real workers one after another in a folder: what stands there finished is not repeated, the rest goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.contract import events
from trainer.contract.records import InputRow, ModelRef
from trainer.contract.run_folder import RunFolder, read_events, sha256_of, sha256_of_folder
from trainer.contract.spec import CodeRef, RunSpec, build, parameters


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run; `seconds` its attempts took together."""

    folder: RunFolder
    seconds: float
    summary: dict[str, float]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a file as a run takes it along."""

    file: Path
    name: str


class Stages:
    """The runs of a measurement, each a run folder under `root`; `work` does an attempt at one, as a process."""

    def __init__(self, root: Path, work: Callable[[RunFolder], object] | None = None) -> None:
        self.root, self._work = root, work or in_process
        root.mkdir(parents=True, exist_ok=True)

    def do(
        self,
        name: str,
        recipe: str,
        rows: Iterable[InputRow],
        given: dict[str, Any],
        models: Mapping[str, Path] | None = None,
        code: Mapping[str, Function] | None = None,
    ) -> Done:
        """One run to its end: the one that stands there, or what is left of it. Raises RuntimeError when it fails."""
        folder = RunFolder(self.root / name)
        done = finished(folder)
        if done is None:
            if not folder.spec.exists():
                shutil.rmtree(folder.path, ignore_errors=True)
                self._create(folder, recipe, rows, given, models or {}, code or {})
            self._work(folder)
            done = finished(folder)
        if done is None:
            raise RuntimeError(f"{name} did not finish:\n{folder.tail_of_log()}")
        return done

    def _create(
        self,
        folder: RunFolder,
        recipe: str,
        rows: Iterable[InputRow],
        given: dict[str, Any],
        models: Mapping[str, Path],
        code: Mapping[str, Function],
    ) -> None:
        refs = tuple(
            ModelRef(role=role, path=f"inputs/{role}", checksum=sha256_of_folder(model), name=model.parent.name)
            for role, model in models.items()
        )
        own = tuple(
            CodeRef(role=role, path=f"code/{of.file.name}", function=of.name, sha256=sha256_of(of.file), consented=True)
            for role, of in code.items()
        )
        spec = RunSpec(
            run=folder.path.name, name=folder.path.name, recipe=recipe, parameters=parameters(build(recipe, given)),
            models=refs, code=own,
        )  # fmt: skip
        folder.create(spec, rows)
        for role, model in models.items():
            (folder.inputs / role).symlink_to(model.resolve())
        for of in code.values():
            (folder.path / "code").mkdir(exist_ok=True)
            shutil.copy(of.file, folder.path / "code")


def in_process(folder: RunFolder) -> None:
    """An attempt at a run in a worker process of its own."""
    command = [sys.executable, "-m", "trainer", str(folder.path)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with folder.log.open("ab") as log:
        subprocess.run(command, stdout=log, stderr=log, env=env, check=False)


def finished(folder: RunFolder) -> Done | None:
    """The run, if its last word is that it has finished."""
    told = read_events(folder.events)[0] if folder.events.exists() else []
    if not told or not isinstance(told[-1], events.Ended) or told[-1].outcome is not events.Outcome.FINISHED:
        return None
    attempts: dict[int, list[float]] = defaultdict(list)
    for event in told:
        attempts[event.attempt].append(event.at)
    return Done(folder, sum(max(at) - min(at) for at in attempts.values()), told[-1].summary)
