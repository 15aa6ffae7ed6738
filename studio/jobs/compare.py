"""Runs side by side: what differs in their specs, what came out, and the seeds of one spec as mean and band."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from studio.errors import NotFoundError, RunError
from studio.jobs.track import Track
from studio.jobs.values import Curve
from studio.store import runs
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.spec import RunSpec

NOTHING = "–"  # what a run does not have
_SEED = re.compile(r" seed=\d+$")  # as a grid names its runs
PREFIX = 4  # digits of a uid that name a run


@dataclass(frozen=True, slots=True)
class Side:
    """One run: its frozen spec, what it ended with, and every figure over its steps."""

    run: StoredRun
    spec: RunSpec
    curves: Mapping[str, Curve]

    @property
    def last(self) -> dict[str, float]:
        """The newest value of every figure, by "split/name"."""
        return {name: float(curve.values[-1]) for name, curve in self.curves.items() if len(curve.values)}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the table: a fact of the specs, a cell for each run."""

    group: str
    name: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs are not alike in it."""
        return len(set(self.cells)) > 1

    @property
    def marked(self) -> tuple[bool, ...]:
        """The cells that are not as the first run has it."""
        return tuple(cell != self.cells[0] for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Figure:
    """What came out, a value for each run (None = it has no such figure); `group` says from where it is."""

    group: str
    name: str
    values: tuple[float | None, ...]

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Each value less the first run's; None where either is missing."""
        first = self.values[0]
        return tuple(None if first is None or value is None else value - first for value in self.values)


@dataclass(frozen=True, slots=True)
class Band:
    """A figure over the seeds of one spec, at the steps that all have: mean, lowest and highest value."""

    steps: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Family:
    """Runs that differ in `seed` alone: `members` are their positions, one for each seed."""

    name: str
    members: tuple[int, ...]
    seeds: tuple[int, ...]
    bands: Mapping[str, Band]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the seeds of a family: mean, and standard deviation with n - 1."""

    group: str
    name: str
    mean: float
    deviation: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more runs side by side; the first is what the others are compared with."""

    sides: tuple[Side, ...]
    facts: tuple[Fact, ...]
    figures: tuple[Figure, ...]
    families: tuple[Family, ...]

    def spreads(self, family: Family) -> tuple[Spread, ...]:
        """The figures that every seed of a family has."""
        found = []
        for figure in self.figures:
            values = [figure.values[i] for i in family.members]
            known = np.array([value for value in values if value is not None], dtype=np.float64)
            if len(known) == len(values):
                found.append(
                    Spread(figure.group, figure.name, float(known.mean()), float(known.std(ddof=1)), len(known))
                )
        return tuple(found)


def named_runs(c: Connection, names: Sequence[str]) -> tuple[StoredRun, ...]:
    """The runs of these uids, beginnings of uids (at least four digits) or names, each once. Raises NotFoundError."""
    known = runs.all_runs(c)
    found: dict[int, StoredRun] = {}
    for name in names:
        one = _named(known, name)
        found.setdefault(one.id, one)
    return tuple(found.values())


def _named(known: Sequence[StoredRun], name: str) -> StoredRun:
    same = [run for run in known if run.uid == name] or [run for run in known if run.name == name]
    if not same and len(name) >= PREFIX:
        same = [run for run in known if run.uid.startswith(name)]
    if not same:
        raise NotFoundError(f"there is no run {name!r} in this workspace; `steplens runs` lists them")
    if len(same) > 1:
        raise NotFoundError(f"{len(same)} runs are called {name!r}: {', '.join(run.uid for run in same)}; name the uid")
    return same[0]


def read_side(workspace: Workspace, run: StoredRun) -> Side:
    """Read what a run's folder says now. Raises RunError."""
    folder = RunFolder(workspace.path / run.folder)
    track = Track(folder)
    try:
        spec = folder.read_spec()
        track.read_all()
    except (RunFolderError, OSError) as error:
        raise RunError(f"run {run.name!r} cannot be read: {error}") from error
    return Side(run, spec, track.curves())


def compare(sides: Sequence[Side]) -> Comparison:
    """Put runs side by side. Raises RunError when there are fewer than two."""
    if len(sides) < 2:
        raise RunError("a comparison needs at least two runs")
    return Comparison(tuple(sides), tuple(_facts(sides)), tuple(_figures(sides)), tuple(_families(sides)))


def _facts(sides: Sequence[Side]) -> Iterator[Fact]:
    def fact(group: str, name: str, of: Callable[[Side], object]) -> Fact:
        return Fact(group, name, tuple(shown(of(side)) for side in sides))

    yield fact("Run", "recipe", lambda side: side.spec.recipe)
    yield fact("Run", "device", lambda side: side.spec.device)
    for name in _names(side.spec.parameters for side in sides):
        yield fact("Parameters", name, lambda side, n=name: side.spec.parameters.get(n))  # type: ignore[misc]
    for role in _names({m.role: m for m in side.spec.models} for side in sides):
        yield fact("Models", role, lambda side, r=role: _model(side.spec, r))  # type: ignore[misc]
    for role in _names({code.role: code for code in side.spec.code} for side in sides):
        yield fact(
            "Own code",
            role,
            lambda side, r=role: next((f"{x.function} {x.sha256[:12]}" for x in side.spec.code if x.role == r), None),  # type: ignore[misc]
        )
    for name in _names(side.spec.selection for side in sides):
        yield fact("Selection", name, lambda side, n=name: side.spec.selection.get(n))  # type: ignore[misc]
    yield fact("Rows", "rows that went in", lambda side: side.spec.input_rows)
    yield fact("Rows", "sha256 of the rows", lambda side: side.spec.input_sha256[:16])
    for reason in _names(side.spec.left_out for side in sides):
        yield fact("Rows left out", reason, lambda side, r=reason: side.spec.left_out.get(r, 0))  # type: ignore[misc]


def _model(spec: RunSpec, role: str) -> str | None:
    found = [f"{m.name or m.path} {m.checksum[:12]}{_since(m)}" for m in spec.models if m.role == role]
    return "; ".join(found) or None


def _since(model: ModelRef) -> str:
    return f" from step {model.from_step:,} on" if model.from_step else ""


def _figures(sides: Sequence[Side]) -> Iterator[Figure]:
    for name in _names(side.run.summary for side in sides):
        yield Figure("Result", name, tuple(side.run.summary.get(name) for side in sides))
    lasts = [side.last for side in sides]
    for name in _names(lasts):
        yield Figure("Last value", name, tuple(last.get(name) for last in lasts))


def _families(sides: Sequence[Side]) -> Iterator[Family]:
    """A seed counts once, as its first run has it: running one twice tells nothing of the spread."""
    alike: dict[bytes, dict[int, int]] = {}
    for position, side in enumerate(sides):
        seed = side.spec.parameters.get("seed")
        if isinstance(seed, int):
            alike.setdefault(_but_for_the_seed(side.spec), {}).setdefault(seed, position)
    for seeds in alike.values():
        if len(seeds) > 1:
            members = tuple(seeds.values())
            name = f"{len(members)} seeds of {_SEED.sub('', sides[members[0]].run.name)}"
            yield Family(name, members, tuple(seeds), bands([sides[i].curves for i in members]))


def _but_for_the_seed(spec: RunSpec) -> bytes:
    """What two runs of one spec have in common: everything that what they learn depends on, but for the seed."""
    said = {name: value for name, value in spec.parameters.items() if name != "seed"}
    models = [(m.role, m.checksum, m.from_step) for m in spec.models]
    return msgspec.json.encode(
        [spec.recipe, said, spec.input_sha256, models, [(x.role, x.function, x.sha256) for x in spec.code]],
        order="sorted",
    )


def bands(curves: Sequence[Mapping[str, Curve]]) -> dict[str, Band]:
    """Mean, lowest and highest of each figure that all have, over the steps that all have."""
    found = {}
    for name in curves[0]:
        if not all(name in each for each in curves):
            continue
        steps = curves[0][name].steps
        for each in curves[1:]:
            steps = np.intersect1d(steps, each[name].steps)
        if len(steps):
            rows = np.stack([each[name].values[np.searchsorted(each[name].steps, steps)] for each in curves])
            found[name] = Band(steps, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))
    return found


def shown(value: object) -> str:
    """A setting as a cell shows it."""
    if value is None or value in ("", [], (), {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or not isinstance(value, float):
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"{value:.6g}"


def number_text(value: float | None, difference: float | None = None) -> str:
    """A figure with four digits and, where it is not the first run's own, its difference."""
    if value is None:
        return NOTHING
    return f"{value:.4g}" if difference is None else f"{value:.4g} ({difference:+.3g})"


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def verb(args: argparse.Namespace) -> int:
    """`steplens compare RUN RUN...`: what differs and what came out, as text or one JSON document."""
    with Workspace.open(args.workspace) as workspace:
        with workspace.database.read() as c:
            found = named_runs(c, args.runs)
        made = compare([read_side(workspace, run) for run in found])
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(made))).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(made, everything=args.all)) + "\n")
    return 0


def document(made: Comparison) -> dict[str, Any]:
    """A comparison as JSON has it, without the points of curves."""
    return {
        "runs": [{"uid": side.run.uid, "name": side.run.name, "state": side.run.state.value} for side in made.sides],
        "facts": [
            {"group": fact.group, "name": fact.name, "cells": fact.cells, "differs": fact.differs}
            for fact in made.facts
        ],
        "figures": [
            {"group": f.group, "name": f.name, "values": f.values, "differences": f.differences} for f in made.figures
        ],
        "families": [
            {
                "name": family.name,
                "runs": [made.sides[i].run.uid for i in family.members],
                "seeds": family.seeds,
                "figures": [msgspec.to_builtins(spread) for spread in made.spreads(family)],
            }
            for family in made.families
        ],
    }


def _lines(made: Comparison, *, everything: bool) -> Iterator[str]:
    rows = [("", "", *(side.run.name for side in made.sides)), ("", "uid", *(side.run.uid[:8] for side in made.sides))]
    rows += [(fact.group, fact.name, *fact.cells) for fact in made.facts if everything or fact.differs]
    for figure in made.figures:
        pairs = zip(figure.values, (None, *figure.differences[1:]), strict=True)
        rows.append((figure.group, figure.name, *(number_text(value, change) for value, change in pairs)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for family in made.families:
        yield f"\n{family.name} ({', '.join(map(str, family.seeds))}): mean ± standard deviation"
        for each in made.spreads(family):
            yield f"  {each.group}  {each.name}  {each.mean:.4g} ± {each.deviation:.2g}"
