"""The recipe autolabel: the rule on steps that are known to be right or wrong, rollouts counted independently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import ended, live_events
from tests.trainer.test_rl_recipe import here
from trainer.contract import events
from trainer.contract.records import InputRow, MachineLabelRecord, ModelRef
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.models.generate import Decoder, Sampling
from trainer.models.policies import load_policy
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.reasoning.response import read_response
from trainer.recipes.autolabel import prefixes_of


@pytest.fixture(scope="module")
def rows() -> list[InputRow]:
    """Traces of a teacher who sometimes borrows wrongly."""
    return [demonstration_row(one, number, rated=True) for number, one in enumerate(make_demonstrations(60, seed=5))]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned a little."""
    folder = RunFolder(tmp_path_factory.mktemp("policy") / "sft")
    given = {"model": "tiny", "threads": 1, "max_steps": 120, "batch_size": 16, "rate": 3e-3, "max_length": 128}
    taught = [demonstration_row(one, number) for number, one in enumerate(make_demonstrations(400, seed=6, mistake=0))]
    folder.create(RunSpec(run="sft", name="sft", recipe="sft", parameters=parameters(build("sft", given))), taught)
    assert here(folder) == 0, folder.tail_of_log()
    return folder.model


def label_run(path: Path, rows: list[InputRow], model: Path | None = None, **settings: Any) -> RunFolder:
    """A run of the recipe, not started."""
    folder = RunFolder(path)
    given = parameters(build("autolabel", {"threads": 1, "max_tokens": 60} | settings))
    refs = ()
    if model is not None:
        refs = (ModelRef(role="model", path="inputs/model", checksum=sha256_of_folder(model), name="policy"),)
    folder.create(RunSpec(run="labels", name="labels", recipe="autolabel", parameters=given, models=refs), rows)
    if model is not None:
        (folder.inputs / "model").symlink_to(model)
    return folder


def labels(folder: RunFolder, method: str) -> dict[str, tuple[float | None, ...]]:
    """Values by row of the records whose method begins so; each row once."""
    found: dict[str, tuple[float | None, ...]] = {}
    for record in read_records(folder.records)[0]:
        assert isinstance(record, MachineLabelRecord)
        if record.method.startswith(method):
            assert record.row not in found
            found[record.row] = record.values
    return found


def test_the_rule_finds_every_wrong_step_and_no_other(rows: list[InputRow], tmp_path: Path) -> None:
    folder = label_run(tmp_path / "rule", rows)
    assert here(folder) == 0, folder.tail_of_log()
    found = labels(folder, "rule")
    assert set(found) == {row.id for row in rows}
    for row in rows:
        left, right = row.steps[0].split(" = ")
        a, sign, b = left.split()
        for step, value in zip(row.steps, found[row.id], strict=True):
            if "=" not in step:
                assert value is None
                continue
            left, right = step.split(" = ")
            a, sign, b = left.split()
            exact = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": int(a) / int(b)}[sign]
            assert value == float(exact == int(right)), step
    assert ended(folder).summary["rule_wrong"] > 5


def test_rollouts_are_the_share_that_reaches_the_reference(rows: list[InputRow], policy: Path, tmp_path: Path) -> None:
    few = rows[:4]
    folder = label_run(tmp_path / "soft", few, policy, method="rollouts from every step", hardness="soft", rollouts=6)
    assert here(folder) == 0, folder.tail_of_log()
    found = labels(folder, "rollouts")
    loaded = load_policy(str(policy))
    decoder = Decoder(loaded.language.model, loaded.tokenizer)
    last_step_right = 0
    for row in few:
        texts = prefixes_of(row)
        for k, value in enumerate(found[row.id]):
            assert value is not None
            assert value * 6 == pytest.approx(round(value * 6))
            if texts[k + 1].rstrip().endswith(row.steps[-1]):  # nothing is left to draw: the answer stands there
                said = read_response(texts[k + 1]).answer
                assert value == float(said == row.reference)
                last_step_right += 1
                continue
            prompt = [*loaded.prompts.ids_of(row.problem), *loaded.prompts.plain_ids(texts[k + 1])]
            made = decoder.generate([prompt], Sampling(max_new_tokens=60), n=64, seeds=range(1000, 1064))[0]
            right = [
                read_response(texts[k + 1] + loaded.tokenizer.decode(one.ids, skip_special_tokens=True)).answer
                == row.reference
                for one in made
            ]
            share = sum(right) / 64  # another sample of the same chance: 6 draws lie within 3 of their deviations
            assert abs(value - share) <= 3 * (max(share * (1 - share), 0.03) / 6) ** 0.5 + 0.15
    assert last_step_right == len(few)
    assert ended(folder).summary["rollouts"] == 6 * sum(len(row.steps) - 1 for row in few)


def test_bisection_asks_less_and_labels_up_to_the_first_error(
    rows: list[InputRow], policy: Path, tmp_path: Path
) -> None:
    given = {"method": "binary search for the first error", "rollouts": 4}
    folder = label_run(tmp_path / "search", rows[:6], policy, **given)
    assert here(folder) == 0, folder.tail_of_log()
    found = labels(folder, "binary search")
    steps = sum(len(row.steps) for row in rows[:6])
    assert ended(folder).summary["rollouts"] < 4 * steps
    for values in found.values():
        known = [value for value in values if value is not None]
        assert known in ([1.0] * len(known), [1.0] * (len(known) - 1) + [0.0])
        assert list(values[: len(known)]) == known


def test_a_budget_stops_it_and_a_resume_goes_on_without_repeating(
    rows: list[InputRow], policy: Path, tmp_path: Path
) -> None:
    given = {"method": "rule and rollouts agree", "rollouts": 2, "max_rollouts": 30}
    folder = label_run(tmp_path / "budget", rows[:20], policy, **given)
    assert here(folder) == 0, folder.tail_of_log()
    done = set(labels(folder, "consensus"))
    assert 0 < len(done) < 20
    codes = [event.code for event in live_events(folder) if isinstance(event, events.Notice)]
    assert codes == ["budget_spent"]
    again = labels(folder, "rollouts")
    assert here(folder) == 0
    assert labels(folder, "rollouts") == again
    for row in rows[:20]:
        if row.id not in done:
            continue
        rule, rolled = labels(folder, "rule")[row.id], again[row.id]
        for said, value, agreed in zip(rule, rolled, labels(folder, "consensus")[row.id], strict=True):
            assert agreed is None or agreed == value
            if said == 0.0 and value == 1.0:
                assert agreed is None


def test_without_a_policy_rollouts_say_what_to_choose(rows: list[InputRow], tmp_path: Path) -> None:
    folder = label_run(tmp_path / "none", rows[:2], method="rollouts from every step")
    assert here(folder) == 1
    assert "no policy chosen" in ended(folder).message
