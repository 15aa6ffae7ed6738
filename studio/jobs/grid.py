"""A small grid of runs: the settings that vary with their values, and the order of every point."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from studio.domain import new_uid
from studio.errors import RunError
from studio.jobs import checks, monitor_runs, prepare, roles, rubric_runs, suite_rows
from studio.jobs.estimate import estimate
from studio.jobs.values import Estimate, Preview, RunOrder
from studio.workspace import Workspace
from trainer.contract.spec import RECIPES, SpecError, Value, build, parameters

MOST = 64  # points of one grid
SEED = "seed"
_ALIASES = {"learning_rate": "rate"}  # as the figures call it


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting and the values that it takes, each once."""

    name: str
    values: tuple[Value, ...]


def axes_of(recipe: str, given: Iterable[str]) -> tuple[Axis, ...]:
    """ "rate=1e-4,3e-4" and the like as axes; a text may hold several, apart by ";". Raises RunError."""
    found: dict[str, Axis] = {}
    for text in filter(None, (part.strip() for each in given for part in each.split(";"))):
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise RunError(f"grid {text!r}: write SETTING=VALUE,VALUE, for example rate=1e-4,3e-4; seed=0,1,2")
        axis = _axis(recipe, name, [value.strip() for value in values.split(",")])
        if axis.name in found:
            raise RunError(f"grid: {axis.name} is given twice; write all of its values at once")
        found[axis.name] = axis
    return tuple(found.values())


def _axis(recipe: str, name: str, texts: Sequence[str]) -> Axis:
    known = {field.name for field in fields(RECIPES[recipe])}
    own = _ALIASES.get(name, name) if name not in known else name
    values: list[Value] = []
    for text in texts:
        try:
            value = parameters(build(recipe, {own: text})).get(own)
        except SpecError as error:
            raise RunError(f"grid: {error}") from error
        assert value is not None
        if value in values:
            raise RunError(f"grid: {own} takes the value {text} twice")
        values.append(value)
    return Axis(own, tuple(values))


def points(order: RunOrder, axes: Sequence[Axis]) -> tuple[RunOrder, ...]:
    """One order a point, seeds next to each other; the order itself where nothing varies. Raises RunError."""
    if not axes:
        return (order,)
    sorted_axes = sorted(axes, key=lambda axis: axis.name == SEED)
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST:
        raise RunError(f"the grid has {count:,} points; at most {MOST} runs are made at once")
    group, made = new_uid(), []
    name = order.name.strip() or f"{order.recipe} grid"
    for values in itertools.product(*(axis.values for axis in sorted_axes)):
        said = {axis.name: value for axis, value in zip(sorted_axes, values, strict=True)}
        words = " ".join(f"{key}={shown(value)}" for key, value in said.items())
        made.append(replace(order, parameters={**order.parameters, **said}, name=f"{name} {words}", group=group))
    return tuple(made)


def shown(value: Value) -> str:
    """A value in the name of a run: numbers without trailing zeros."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def preview(
    workspace: Workspace, orders: Sequence[RunOrder], progress: Callable[[int, int], None] | None = None
) -> Preview:
    """Count the rows once, and add up what all points will take, one after the other on their device.

    Raises SpecError, NotFoundError, RunError.
    """
    given = [prepare.checked(order) for order in orders]
    with workspace.database.read() as c:
        counts = suite_rows.count(c, given[0], progress or (lambda _done, _total: None))
        problems: dict[str, None] = {}
        for order in given:
            problems |= dict.fromkeys(checks.objections(order, counts))
            problems |= dict.fromkeys((*rubric_runs.objections(c, order), *monitor_runs.objections(c, order)))
            try:
                roles.find_models(workspace, c, order)
            except RunError as error:
                problems[str(error)] = None
        asked = [text for order in given for text in rubric_runs.warnings(c, order, counts)]
        asked += [text for order in given for text in monitor_runs.warnings(c, order)]
    needs = _together([estimate(workspace, order, counts) for order in given])
    said = [text for order in given for text in checks.warnings(order, counts)]
    warnings = tuple(dict.fromkeys((*asked, *said)))
    return Preview(counts, needs, tuple(problems), warnings, checks.facts(given[0], counts), len(given))


def _together(needs: Sequence[Estimate]) -> Estimate:
    """Times and disk add up, memory is that of the largest; unknown where one of them is."""
    if len(needs) == 1:
        return needs[0]
    seconds = [need.seconds for need in needs if need.seconds is not None]
    disk = [need.disk_bytes for need in needs if need.disk_bytes is not None]
    memory = [need.memory_bytes for need in needs if need.memory_bytes is not None]
    return Estimate(
        sum(seconds) if len(seconds) == len(needs) else None,
        max(memory) if len(memory) == len(needs) else None,
        sum(disk) if len(disk) == len(needs) else None,
        f"{len(needs)} runs one after the other; each: {needs[0].basis}",
    )
