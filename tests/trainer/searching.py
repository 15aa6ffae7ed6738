"""A policy and a PRM that have learned a little, and runs of the recipe search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.trainer.test_rl_recipe import here
from trainer.contract.records import InputRow, ModelRef, Split
from trainer.contract.run_folder import RunFolder, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations

SMALL: dict[str, Any] = {
    "model": "the policy", "prm": "the PRM", "n": 8, "width": 2, "max_thinking_tokens": 48, "max_answer_tokens": 12,
    "threads": 1, "temperature": 1.0,
}  # fmt: skip


def problem_rows(count: int = 400) -> list[InputRow]:
    """Problems with rated demonstrations."""
    made = make_demonstrations(count, seed=3)
    return [demonstration_row(one, number, rated=True) for number, one in enumerate(made)]


def taught(root: Path, rows: list[InputRow], *, steps: int = 120) -> dict[str, Path]:
    """The two models by role."""
    given: dict[str, dict[str, Any]] = {
        "sft": {"max_steps": steps, "batch_size": 16, "rate": 3e-3},
        "prm": {"max_steps": 30, "batch_size": 16, "head_rate": 3e-3, "body_rate": 3e-3},
    }
    found = {}
    for recipe, values in given.items():
        folder = RunFolder(root / recipe)
        values |= {"model": "tiny", "threads": 1, "max_length": 128}
        spec = RunSpec(run=recipe, name=recipe, recipe=recipe, parameters=parameters(build(recipe, values)))
        folder.create(spec, rows)
        assert here(folder) == 0, folder.tail_of_log()
        found["model" if recipe == "sft" else "prm"] = folder.model
    return found


def asked(rows: list[InputRow], count: int) -> list[InputRow]:
    """Problems that neither model has seen."""
    return [row for row in rows if row.split is Split.TEST][:count]


def search_run(path: Path, rows: list[InputRow], models: dict[str, Path], **settings: Any) -> RunFolder:
    """A run of the recipe, not started."""
    folder = RunFolder(path)
    refs = tuple(
        ModelRef(role=role, path=f"inputs/{role}", checksum=sha256_of_folder(model), name=f"the {role}")
        for role, model in models.items()
    )
    given = parameters(build("search", SMALL | settings))
    folder.create(RunSpec(run="run-search", name="search", recipe="search", parameters=given, models=refs), rows)
    for role, model in models.items():
        (folder.inputs / role).symlink_to(model)
    return folder
