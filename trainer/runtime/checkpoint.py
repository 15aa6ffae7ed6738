"""Checkpoints: written aside, flushed, renamed; checked before they are used; enough to go on bit for bit."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.contract.checkpoints import STATE, is_whole
from trainer.contract.run_folder import sha256_of, sync
from trainer.runtime.sharding import spread_state

WEIGHTS = "weights.safetensors"
REST = "optimiser.pt"


class TrainState(msgspec.Struct, frozen=True, kw_only=True):
    """Where training stands after `step` optimiser steps; the data's place follows from `step` and the seed."""

    step: int
    micro_batch: int
    seconds: float = 0.0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    validation_due: bool = False
    done: bool = False
    best_step: int = -1
    best_value: float | None = None
    validations_since_best: int = 0
    files: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """A whole checkpoint on disk."""

    path: Path
    state: TrainState

    def weights(self) -> dict[str, Tensor]:
        """The trained weights by name."""
        return load_file(str(self.path / WEIGHTS))

    def restore(self, optimiser: torch.optim.Optimizer) -> None:
        """Put back the optimiser and every random generator."""
        rest = torch.load(self.path / REST, weights_only=True, map_location="cpu")
        optimiser.load_state_dict(rest["optimiser"])
        spread_state(optimiser)
        set_generators(rest["generators"])


def generators() -> dict[str, Any]:
    """The state of every random generator, in plain values that load without running code."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_generators(kept: Mapping[str, Any]) -> None:
    """Put back what `generators` returned."""
    random.setstate(kept["python"])
    kind, keys, *rest = kept["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(kept["torch"])
    if kept["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(kept["cuda"])


def name_of(step: int) -> str:
    """The folder of a step's checkpoint."""
    return f"step-{step:08d}"


def save(folder: Path, state: TrainState, weights: Mapping[str, Tensor], optimiser: Mapping[str, Any]) -> Path:
    """Write the checkpoint of `state.step`; it appears whole or not at all. Returns its path.

    `optimiser` is an optimiser's state, every tensor in one piece.
    """
    target = folder / name_of(state.step)
    aside = folder / f".{target.name}.{os.getpid()}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, str(aside / WEIGHTS))
    torch.save({"optimiser": dict(optimiser), "generators": generators()}, aside / REST)
    kept = msgspec.structs.replace(state, files={name: sha256_of(aside / name) for name in (WEIGHTS, REST)})
    (aside / STATE).write_bytes(msgspec.json.encode(kept))
    for file in aside.iterdir():
        _sync_path(file)
    _sync_path(aside)
    if target.exists():  # a torn one of an earlier attempt at the same step
        shutil.rmtree(target)
    aside.rename(target)
    _sync_path(folder)
    return target


def newest(folder: Path) -> tuple[Found | None, tuple[str, ...]]:
    """The newest checkpoint that is whole, and the names of newer ones that are torn. Removes what was left aside."""
    for leftover in folder.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    torn: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        found = read(path)
        if found is not None:
            return found, tuple(torn)
        torn.append(path.name)
    return None, tuple(torn)


def read(path: Path) -> Found | None:
    """The checkpoint at `path` if every file is there and has the checksum it was written with, else None."""
    if not is_whole(path):
        return None
    try:
        return Found(path, msgspec.json.decode((path / STATE).read_bytes(), type=TrainState))
    except (OSError, msgspec.MsgspecError):
        return None


def prune(folder: Path, keep_last: int, best_step: int, newest_step: int) -> None:
    """Keep the last `keep_last` checkpoints up to `newest_step`, and the best; those beyond it are torn or void."""
    known = sorted(folder.glob("step-*"))
    kept = {path.name for path in [path for path in known if path.name <= name_of(newest_step)][-keep_last:]}
    for path in known:
        if path.name not in {*kept, name_of(best_step)}:
            shutil.rmtree(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
