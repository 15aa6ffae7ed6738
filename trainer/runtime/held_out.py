"""The named held-out sets of a run: which rows each holds, told once, and how the weights of now are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trainer.contract.events import Level
from trainer.contract.specs.eval_sets import check_best, parse
from trainer.contract.specs.setting import SpecError
from trainer.runtime.loop import Validation
from trainer.runtime.worker import RunFailed, Worker


@dataclass(frozen=True, slots=True)
class HeldOutSets:
    """Ids of the rows of each set, in the order of the input; `best_by` names the one that decides, "" none."""

    rows: Mapping[str, tuple[str, ...]]
    best_by: str = ""

    def judged(self, found: Validation, sets: Mapping[str, Validation]) -> Validation:
        """The validation with the figures of every set; the goal is that of the set which decides."""
        values = {name: one.values for name, one in sets.items()}
        goal = sets[self.best_by].goal if self.best_by else found.goal
        return replace(found, goal=goal, sets=values)


def held_out_sets(worker: Worker, text: str, best_by: str, *, report: bool) -> HeldOutSets:
    """The sets of a setting with their rows; empty ones are left out and told. Raises RunFailed."""
    try:
        sets = parse(text)
        check_best(sets, best_by)
    except SpecError as error:
        raise RunFailed(str(error)) from error
    found: dict[str, list[str]] = {each.name: [] for each in sets}
    for row in worker.folder.read_input() if sets else ():
        for each in sets:
            if each.holds(row):
                found[each.name].append(row.id)
    if best_by and not found[best_by]:
        raise RunFailed(
            f"the set {best_by!r}, by which the best weights are chosen, holds no row; widen its conditions"
        )
    if report and sets:
        counts = {name: len(ids) for name, ids in found.items()}
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        level = Level.INFO if all(counts.values()) else Level.WARNING
        worker.notice(level, "eval_sets", f"held-out sets: {told}", **counts)
        if any(each.name == best_by and each.split.value == "test" for each in sets):
            text = "the best weights are chosen on test problems: the figures of the test are too good by that"
            worker.notice(Level.WARNING, "best_on_test", text)
    return HeldOutSets({name: tuple(ids) for name, ids in found.items() if ids}, best_by)
