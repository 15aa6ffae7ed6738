"""What a training run leaves: a plain model folder with MODEL_CARD.md, lineage.json and one checksum over it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from trainer.contract.records import SourceRef, Split
from trainer.contract.run_folder import sha256_of_folder
from trainer.contract.spec import RecipeSpec, Value, parameters
from trainer.contract.specs.prm import RewardSpec
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.worker import Follower, Worker


class Traced(Protocol):
    """A row that knows the annotations it was made from."""

    @property
    def sources(self) -> tuple[SourceRef, ...]:
        """Annotations with their revisions."""
        ...


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """lineage.json: from which revision of which annotation each split's rows came."""

    run: str
    input_sha256: str
    rows: dict[str, int]
    annotations: dict[str, dict[str, int]]


def lineage_of(worker: Worker, rows: Mapping[Split, Sequence[Traced]]) -> Lineage:
    """The newest revision of every annotation used, by split."""
    annotations: dict[str, dict[str, int]] = {}
    for split in Split:
        sources = [source for row in rows.get(split, ()) for source in row.sources]
        annotations[split.value] = {s.annotation: s.revision for s in sorted(sources, key=lambda s: s.revision)}
    counts = {split.value: len(rows.get(split, ())) for split in Split}
    return Lineage(run=worker.spec.run, input_sha256=worker.spec.input_sha256, rows=counts, annotations=annotations)


def write_folder(worker: Worker, save: Callable[[Path], None], lineage: Lineage, card: Callable[[str], str]) -> str:
    """Write model/ aside and rename it; returns its checksum, which `card` is given and does not enter.

    Of several processes only the first writes; the others get "".
    """
    if isinstance(worker, Follower):
        return ""
    target = worker.folder.model
    aside = target.with_name(f".model.{os.getpid()}.tmp")
    for left in worker.folder.path.glob(".model.*.tmp"):
        shutil.rmtree(left)
    aside.mkdir()
    save(aside)
    (aside / "lineage.json").write_bytes(msgspec.json.format(msgspec.json.encode(lineage), indent=1))
    checksum = sha256_of_folder(aside)
    (aside / "MODEL_CARD.md").write_text(card(checksum), encoding="utf-8")
    _sync_all(aside)
    if target.exists():  # of an attempt that was killed before it could say so
        shutil.rmtree(target)
    aside.rename(target)
    return checksum


def base_of(worker: Worker, given: str) -> str:
    """The name of the model that the run began with."""
    return worker.spec.models[0].name or given if worker.spec.models else given


def best_step(state: TrainState) -> int:
    """The step whose weights were kept."""
    return state.best_step if state.best_step >= 0 else state.step


def summary_of(state: TrainState, values: Mapping[Split, Mapping[str, float]]) -> dict[str, float]:
    """The figures of the `ended` event: how far it came, and what was measured of each split."""
    out: dict[str, float] = {"steps": state.step, "seconds": state.seconds, "best_step": best_step(state)}
    for split, found in values.items():
        out |= {f"{split.value}_{name}": value for name, value in found.items()}
    return out


def training_lines(spec: RecipeSpec | RewardSpec, state: TrainState) -> list[str]:
    """The card's section on the training, with every parameter."""
    lines = [
        "## Training",
        "",
        f"{state.step} steps, {state.tokens} tokens, {state.seconds:.0f} s; weights of step {best_step(state)}; "
        f"{state.skipped} steps skipped for want of a finite gradient; seed {spec.seed}.",
        "",
        "| parameter | value |",
        "|---|---|",
    ]
    return [*lines, *(f"| {name} | {shown(value)} |" for name, value in parameters(spec).items()), ""]


def count_lines(counts: Iterable[tuple[str, int]]) -> list[str]:
    """A table of what was left out or not used; zeros are left out."""
    rows = [f"| {name.replace('_', ' ')} | {count} |" for name, count in counts if count]
    return ["| left out or not used | count |", "|---|---|", *rows, ""] if rows else ["Nothing was left out.", ""]


def shown(value: Value) -> str:
    """A parameter's value in a table."""
    return f"`{str(value)!r}`" if isinstance(value, str) else f"{value}"


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
