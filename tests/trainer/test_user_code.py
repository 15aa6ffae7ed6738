"""A user's own reward or verifier: run only as agreed to, and its faults told with the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.contract.run_folder import RunFolderError, sha256_of
from trainer.contract.spec import CodeRef, RunSpec, SpecError, code_of, is_code
from trainer.runtime.user_code import Judgement, load_function, load_step_scorer

GIVEN = Judgement(
    problem="Start with 7.",
    reference="12",
    text="7 + 5 = 12",
    thinking="",
    answer="12",
    steps=("7 + 5 = 12",),
    scores=(0.5,),
)


def spec_of(folder: Path, source: str, *, function: str = "judge", consented: bool = True) -> RunSpec:
    path = folder / "code" / "mine.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    ref = CodeRef(role="reward", path="code/mine.py", function=function, sha256=sha256_of(path), consented=consented)
    return RunSpec(run="r", name="r", recipe="rl", parameters={}, code=(ref,))


def test_the_function_gets_the_trace_and_its_number_counts(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "def judge(trace):\n    return len(trace.steps) + (trace.answer == trace.reference)\n")
    assert load_function(tmp_path, spec, "reward")(GIVEN) == 2.0


def test_nothing_runs_without_consent(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "raise SystemExit('ran')\ndef judge(trace): return 1\n", consented=False)
    with pytest.raises(RunFolderError, match=r"mine\.py: you have not agreed"):
        load_function(tmp_path, spec, "reward")


def test_a_file_changed_after_consent_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "def judge(trace): return 1\n")
    (tmp_path / "code" / "mine.py").write_text("def judge(trace): return 2\n")
    with pytest.raises(RunFolderError, match="the file has changed"):
        load_function(tmp_path, spec, "reward")


@pytest.mark.parametrize(
    ("source", "function", "message"),
    [
        ("def other(trace): return 1\n", "judge", "has no function 'judge'; it has: other"),
        ("import no_such_module\n", "judge", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path: Path, source: str, function: str, message: str) -> None:
    with pytest.raises(RunFolderError, match=message):
        load_function(tmp_path, spec_of(tmp_path, source, function=function), "reward")


@pytest.mark.parametrize(
    ("body", "message"),
    [("return 1 / 0", "ZeroDivisionError"), ("return float('nan')", "returned nan"), ("return None", "TypeError")],
)
def test_a_call_that_fails_names_the_file_and_the_problem(tmp_path: Path, body: str, message: str) -> None:
    judge = load_function(tmp_path, spec_of(tmp_path, f"def judge(trace):\n    {body}\n"), "reward")
    with pytest.raises(RunFolderError, match=rf"mine\.py: judge .*Start with 7.*{message}|mine\.py: judge {message}"):
        judge(GIVEN)


def test_a_step_scorer_scores_every_step(tmp_path: Path) -> None:
    scorer = load_step_scorer(
        tmp_path, spec_of(tmp_path, "def judge(problem, steps): return [0.5] * len(steps)\n"), "reward"
    )
    assert scorer("p", ("a", "b")) == (0.5, 0.5)


@pytest.mark.parametrize("body", ["[0.5]", "[0.5, 1.5]", "[0.5, float('nan')]", "3"])
def test_scores_that_do_not_fit_are_refused(tmp_path: Path, body: str) -> None:
    scorer = load_step_scorer(tmp_path, spec_of(tmp_path, f"def judge(problem, steps): return {body}\n"), "reward")
    with pytest.raises(RunFolderError, match=r"mine\.py: judge (returned|failed)"):
        scorer("p", ("a", "b"))


def test_names_of_functions() -> None:
    assert is_code("~/rewards.py:short")
    assert not is_code("lenient")
    assert code_of("a/b.py:judge") == (Path("a/b.py"), "judge")
    with pytest.raises(SpecError, match=r"FILE\.py:function"):
        code_of("a/b.py")
