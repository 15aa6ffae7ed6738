"""Orders of every recipe before they start: rows, models by role, objections, warnings, own code by consent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from studio.cli import main
from studio.errors import RunError
from studio.jobs import checks, headless
from studio.jobs.estimate import estimate
from studio.jobs.headless import warnings_of
from studio.jobs.prepare import checked, create_run
from studio.jobs.roles import find_models, kind_of_folder
from studio.jobs.user_code import codes_of
from studio.jobs.values import RunOrder
from studio.store import models, rows, runs
from studio.store import schema as s
from studio.store.rows import Counts, Origin, Selection
from studio.workspace import Workspace
from tests.unit.jobs.making import stories
from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.launch import Launch
from trainer.contract.records import InputRow
from trainer.contract.run_folder import RunFolder, sha256_of_folder
from trainer.contract.spec import SpecError
from trainer.contract.specs.route import RouteTask

CODE = "def bonus(judgement):\n    return 1.0\n\n\nraise SystemExit('this file must not be run here')\n"


def model(workspace: Workspace, kind: str) -> str:
    """A registered model of a kind; returns its name."""
    folder = workspace.models / kind
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8, "num_hidden_layers": 1}))
    (folder / "model.safetensors").write_bytes(b"\0" * 4000)
    values = {"kind": kind, "folder": f"models/{kind}", "base": "tiny", "checksum": sha256_of_folder(folder)}
    with workspace.database.write() as c:
        run = runs.prepare(c, uid=f"run of {kind}", name=kind, recipe=kind, device="cpu", host="here", process="")
        models.register(c, run_id=run, name=f"my {kind}", summary={}, **values)
    return f"my {kind}"


def said(workspace: Workspace, order: RunOrder) -> tuple[tuple[str, ...], tuple[str, ...], Counts]:
    """Objections, warnings and counts."""
    order = checked(order)
    with workspace.database.read() as c:
        counts = rows.count(c, order.selection)
    return checks.objections(order, counts), checks.warnings(order, counts), counts


def frozen(workspace: Workspace, order: RunOrder) -> tuple[RunFolder, list[InputRow]]:
    """The run folder of an order and its rows."""
    folder = RunFolder(workspace.runs / create_run(workspace, order))
    return folder, list(folder.read_input())


def test_rl_gets_one_row_a_problem_with_policy_and_prm_by_role(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        policy, prm = model(workspace, "sft"), model(workspace, "prm")
        with workspace.database.write() as c:
            c.execute(update(s.problem).where(s.problem.c.id <= 3).values(reference_answer="  "))
            c.execute(update(s.trace).where(s.trace.c.id == 5).values(problem_id=4))
        order = RunOrder("rl", {"model": policy, "prm": prm})
        _, warnings, counts = said(workspace, order)
        assert counts.left_out == {"no reference answer": 3, "its problem is in already": 1}
        assert counts.rows == 26 == counts.problems
        for recipe, task in (("generate", {}), ("search", {}), ("route", {}), ("route", {"task": RouteTask.LEARN})):
            of_answers = said(workspace, RunOrder(recipe, {"model": policy, **task}))[2]
            assert of_answers.rows == (26 if task else 29), "what is only answered needs no reference"
            assert of_answers.left_out.get("no reference answer", 0) == (3 if task else 0)
        assert warnings == ("3 traces without a reference answer are left out: nothing can say what is right.",)
        folder, found = frozen(workspace, order)
        assert len(found) == 26 == len({row.problem for row in found})
        assert all((row.reference or "").strip() and row.votes is None for row in found)
        refs = {ref.role: ref for ref in folder.read_spec().models}
        assert {role: ref.name for role, ref in refs.items()} == {"model": policy, "prm": prm}
        for ref in refs.values():
            assert sha256_of_folder(folder.path / ref.path) == ref.checksum


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"model": "my prm"}, "my prm is a PRM, which cannot be the policy to improve; choose a policy"),
        ({"model": "my sft", "prm": "my sft"}, "my sft is a policy, which cannot be the PRM that scores steps"),
        ({"model": "my sft", "prm": "my orm"}, "my orm is an outcome reward model, which cannot be"),
        ({"model": "tiny"}, "“tiny” is made from scratch and cannot be the policy to improve"),
        ({}, "choose the policy to improve"),
        ({"model": "my sft", "verifier": "kind"}, "verifier = 'kind': say strict, lenient or FILE.py:function"),
        ({"model": "my sft", "reward": "good"}, "reward = 'good' is not FILE.py:function"),
        ({"model": "my sft", "reward": "/nowhere/mine.py:f"}, "No such file"),
        ({"model": "my sft", "traces": 1}, "dapo compares the traces of a problem; write at least 2 of each"),
    ],
)
def test_what_cannot_be_improved_is_refused(tmp_path: Path, given: dict[str, str], why: str) -> None:
    with stories(tmp_path, count=20) as workspace:
        for kind in ("sft", "prm", "orm"):
            model(workspace, kind)
        with pytest.raises(RunError, match=why.replace("(", "\\(")):
            create_run(workspace, RunOrder("rl", given))
        assert not [each for each in workspace.runs.iterdir() if not each.name.startswith(".lock")]


def test_a_server_writes_for_one_process_alone(tmp_path: Path) -> None:
    with stories(tmp_path, count=20) as workspace:
        given = {"model": model(workspace, "sft"), "generation": "server", "server": "http://127.0.0.1:1"}
        alone, _, _ = said(workspace, RunOrder("rl", given))
        assert alone == ()
        several = RunOrder("rl", given, launch=Launch(processes=2))
        with pytest.raises(RunError, match="set processes and machines to 1, or generation to own"):
            create_run(workspace, several)
        own = replace(several, parameters={"model": given["model"]})
        assert said(workspace, own)[0] == ()


def test_a_folder_says_of_what_kind_it_is(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    for said_there, kind in (
        ({"steplens": {"judged": "steps"}}, "prm"),
        ({"steplens": {"judged": "outcome"}}, "orm"),
        ({"steplens": {"prompt": "plain"}}, "sft"),
        ({"architectures": ["Qwen2ForProcessRewardModel"]}, "prm"),
        ({"architectures": ["LlamaForTokenClassification"]}, "prm"),
        ({"architectures": ["LlamaForCausalLM"]}, ""),
    ):
        config.write_text(json.dumps(said_there))
        assert kind_of_folder(tmp_path) == kind
    config.write_text("{")
    with pytest.raises(RunError, match=r"config\.json cannot be read"):
        kind_of_folder(tmp_path)


def test_teaching_gets_the_response_and_the_ratings_of_rows_rated_or_not(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        with workspace.database.write() as c:
            unrated = c.execute(update(s.annotation).where(s.annotation.c.trace_id <= 4).values(state="void")).rowcount
        assert unrated == 4
        _, warnings, counts = said(workspace, RunOrder("sft"))
        _, found = frozen(workspace, RunOrder("sft"))
        wrong = [row for row in found if any(vote and vote.negative > 0.5 for vote in row.votes or ())]
        assert (counts.rows, counts.wrong) == (30, len(wrong))
        assert warnings == (f"{len(wrong)} traces with a step rated negative are left out.",)
        assert all(row.response is not None and row.steps[-1] in row.response for row in found)
        assert [row.votes is None or not any(row.votes) for row in found[:5]] == [True] * 4 + [False]
        for origin, expected in ((Origin.IMPORTED, 30), (Origin.SAMPLE, 0), (Origin.HERE, 0)):
            assert said(workspace, RunOrder("sft", selection=Selection(origins=(origin,))))[2].rows == expected
        with workspace.database.write() as c:  # one that a person rated here
            c.execute(update(s.annotation).where(s.annotation.c.trace_id == 9).values(batch_id=None))
        assert said(workspace, RunOrder("sft", selection=Selection(origins=(Origin.HERE,))))[2].rows == 1


def test_an_orm_says_what_its_outcomes_can_come_from(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        with workspace.database.write() as c:
            c.execute(update(s.trace).where(s.trace.c.id <= 7).values(outcome=1))
        _, warnings, counts = said(workspace, RunOrder("orm", {"outcome": "recorded outcome"}))
        assert warnings == ("23 traces without a recorded outcome teach nothing.",)
        assert (counts.recorded, counts.referenced, counts.known) == (7, 30, 30)
        with workspace.database.write() as c:
            c.execute(update(s.trace).values(outcome=None))
        problems, _, _ = said(workspace, RunOrder("orm", {"outcome": "recorded outcome"}))
        assert problems == ("no trace has a recorded outcome; choose others, or take the outcome from elsewhere",)
        assert not said(workspace, RunOrder("orm"))[0]


def test_rollouts_need_a_policy_and_reference_answers_the_rule_neither(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        with workspace.database.write() as c:
            c.execute(update(s.problem).where(s.problem.c.id > 1).values(reference_answer=None))
        rollouts = RunOrder("autolabel", {"method": "rollouts from every step"})
        problems, warnings, _ = said(workspace, rollouts)
        assert problems == ("choose the policy that writes rollouts",)
        assert warnings == ("29 traces without a reference answer get no rollouts.",)
        assert said(workspace, RunOrder("autolabel"))[:2] == ((), ())
        code = replace(rollouts, parameters={**rollouts.parameters, "verifier": "mine.py:f"})
        assert "autolabel has no verifier of your own; say strict, lenient" in said(workspace, code)[0]
        # A policy that the rule does not use is neither looked for nor linked.
        order = checked(RunOrder("autolabel", {"model": "/nowhere"}))
        with workspace.database.read() as c:
            assert find_models(workspace, c, order) == ()


def test_own_code_runs_only_as_agreed_and_is_never_run_here(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    checksum = hashlib.sha256(CODE.encode()).hexdigest()
    with stories(tmp_path) as workspace:
        order = RunOrder("rl", {"model": model(workspace, "sft"), "reward": f"{file}:bonus"})
        with pytest.raises(RunError, match=r"your own code.*you have not agreed.*--trust-code"):
            create_run(workspace, order)
        (code,) = codes_of(order)
        assert (code.function, code.sha256, code.text) == ("bonus", checksum, CODE)
        assert "Your own reward weighs 0; give it a weight." in said(workspace, order)[1]
        agreed = replace(order, consents=(code.sha256,))
        file.write_text(CODE.replace("1.0", "2.0"))
        with pytest.raises(RunError, match="you have not agreed that it runs as it stands"):
            create_run(workspace, agreed)
        file.write_text(CODE)
        folder, _ = frozen(workspace, agreed)
        (ref,) = folder.read_spec().code
        assert (ref.role, ref.function, ref.sha256, ref.consented) == ("reward", "bonus", checksum, True)
        assert (folder.path / ref.path).read_bytes() == CODE.encode()
        with pytest.raises(RunError, match="has no function 'other'; it has: bonus"):
            codes_of(RunOrder("rl", {"reward": f"{file}:other"}))
        file.write_text("def bonus(:")
        with pytest.raises(RunError, match="invalid syntax"):
            codes_of(order)


def test_on_the_command_line_code_needs_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless, "start_if_free", lambda *_: None)  # it is queued, and that is all
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    with stories(tmp_path) as workspace:
        policy = model(workspace, "sft")
    command = ["run", "rl", "--workspace", str(workspace.path), "--name", "own"]
    command += ["--set", f"model={policy}", "--set", f"verifier={file}:bonus"]
    assert main(command) == 1
    assert "--trust-code" in capsys.readouterr().err
    assert main([*command, "--trust-code"]) == 0
    assert "queued 'own' with 30 rows" in capsys.readouterr().out
    with Workspace.open(workspace.path) as again, again.database.read() as c:
        (run,) = runs.all_runs(c)
    (ref,) = RunFolder(workspace.path / run.folder).read_spec().code
    assert (ref.role, ref.path, ref.consented) == ("verifier", "code/verifier.py", True)


def test_estimates_of_reinforcement_name_their_bound(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        policy, prm = model(workspace, "sft"), model(workspace, "prm")

        def needs(**given: object) -> tuple[float, int, str]:
            order = checked(RunOrder("rl", {"model": policy, "prm": prm, **given}))
            with workspace.database.read() as c:
                found = estimate(workspace, order, rows.count(c, order.selection))
            assert found.seconds is not None
            assert found.memory_bytes is not None
            return found.seconds, found.memory_bytes, found.basis

        short, long = needs(max_thinking=64), needs(max_thinking=512)
        assert long[0] > short[0]
        assert long[1] > short[1]
        assert "at most" in long[2]
        assert needs(updates=10)[0] < needs(updates=100)[0]
        assert needs(kl_weight=0.1)[1] > needs()[1]
        with pytest.raises(SpecError):
            needs(updates=0)


def test_what_a_run_warned_of_is_said_once_a_kind_and_counted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def notice(level: Level, code: str, message: str, attempt: int = 2) -> bytes:
        made = events.Notice(attempt=attempt, sequence=1, step=0, at=0.0, level=level, code=code, message=message)
        return events.encoder.encode(made) + b"\n"

    lines = [
        notice(Level.WARNING, "old", "of an attempt before", 1),
        notice(Level.WARNING, "samples_equal", "raise the temperature"),
        notice(Level.INFO, "loaded", "all is well"),
        *(notice(Level.ERROR, "problem_refused", f"row {n} is not asked") for n in range(3)),
    ]
    folder.events.write_bytes(b"".join(lines))
    assert warnings_of(folder) == [
        "warning: raise the temperature", "error: row 0 is not asked (2 more like this)",
    ]  # fmt: skip
