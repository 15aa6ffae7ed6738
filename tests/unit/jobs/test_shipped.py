"""The models that travel with the app: in a workspace when asked for, once, whole and as they were made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import resources
from studio.jobs.roles import Role, find_model
from studio.jobs.shipped import EXAMPLES, THINKING, ensure
from studio.store import models
from studio.workspace import Workspace
from trainer.contract.records import Split
from trainer.contract.run_folder import sha256_of_folder
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.tries import CANDIDATES


def test_the_models_come_once_whoever_asks(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        with ThreadPoolExecutor(4) as pool:
            found = set(map(repr, pool.map(lambda _: ensure(workspace), range(4))))
        assert len(found) == 1
        with workspace.database.read() as c:
            assert len(models.all_models(c)) == 2
            role = Role("model", "a policy", ("sft", "rl"))
            source = find_model(workspace, c, ensure(workspace).policy.uid, role)
        assert source is not None
        shipped = ensure(workspace)
        for model in (shipped.policy, shipped.prm):
            assert sha256_of_folder(workspace.path / model.folder) == model.checksum
        assert not [path for path in workspace.models.iterdir() if path.name.startswith(".")]


def test_they_are_small_and_say_who_they_are() -> None:
    folder = Path(resources.__file__).parent / "models"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 5_000_000
    assert {file.parent.name for file in files if file.name == "MODEL_CARD.md"} == {"policy", "prm"}


def test_the_policy_says_how_long_it_was_taught_to_think() -> None:
    card = (Path(resources.__file__).parent / "models" / "policy" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert [f"| budget_{end} | {value} |" in card for end, value in zip(("low", "high"), THINKING, strict=True)] == [
        True,
        True,
    ]


def test_the_examples_are_problems_of_its_kind() -> None:
    for example in EXAMPLES:
        listed, told = example.problem.removeprefix("Which of ").split(" becomes 10? ")
        numbers = [int(number) for number in listed.split(", ")]
        assert len(numbers) == CANDIDATES
        assert [str(number) for number in numbers if _becomes(number, told) == 10] == [example.reference]
        assert split_of(fold_of(example.problem)) is Split.TEST


def _becomes(number: int, told: str) -> int:
    for sentence in told.rstrip(".").split(". "):
        verb, _, operand = sentence.partition(" ")
        number = 2 * number if verb == "Double" else number + int(operand) * (1 if verb == "Add" else -1)
    return number
