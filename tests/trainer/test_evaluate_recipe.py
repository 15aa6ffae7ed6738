"""The recipe evaluate: what it records, what a strategy chooses, that nothing is repeated or lost, and PRM suites."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.trainer.runs import all_events, ended
from tests.trainer.test_rl_recipe import here
from trainer.contract import events
from trainer.contract.forms import Aggregation
from trainer.contract.records import EvaluationRecord, InputRow, ModelRef, TraceRecord
from trainer.contract.run_folder import RunFolder, read_records, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.models.load import load_prm
from trainer.reasoning.benchmarks import prm_bench, process_bench
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.reasoning.evaluation import prm_score_interval, process_bench_interval
from trainer.reasoning.grader import GradeForm, Pair, grade_exactly
from trainer.reasoning.response import read_response
from trainer.reasoning.votes import aggregate
from trainer.rl.rewarder import PrmJudge

ROWS = [demonstration_row(one, number, rated=True) for number, one in enumerate(make_demonstrations(120, seed=3))]
SMALL: dict[str, Any] = {
    "suite": "own", "max_thinking_tokens": 40, "max_answer_tokens": 8, "threads": 1, "batch_rows": 12,
    "temperature": 1.0, "top_p": 1.0, "n": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A policy that has learned how responses look, and a PRM."""
    root = tmp_path_factory.mktemp("models")
    given: dict[str, dict[str, Any]] = {
        "sft": {"model": "tiny", "threads": 1, "max_steps": 40, "batch_size": 16, "rate": 3e-3, "max_length": 128},
        "prm": {"model": "tiny", "threads": 1, "max_steps": 6, "batch_size": 8, "max_length": 128},
    }
    found = {}
    for recipe, values in given.items():
        folder = RunFolder(root / recipe)
        folder.create(
            RunSpec(run=recipe, name=recipe, recipe=recipe, parameters=parameters(build(recipe, values))), ROWS
        )
        assert here(folder) == 0, folder.tail_of_log()
        found["model" if recipe == "sft" else "prm"] = folder.model
    return found


def evaluation(path: Path, models: dict[str, Path], rows: list[InputRow], **settings: Any) -> RunFolder:
    """A run of the recipe, not started."""
    folder = RunFolder(path)
    refs = tuple(
        ModelRef(role=role, path=f"inputs/{role}", checksum=sha256_of_folder(model), name=f"the {role}")
        for role, model in models.items()
    )
    given = parameters(build("evaluate", SMALL | settings))
    folder.create(RunSpec(run="run-eval", name="e", recipe="evaluate", parameters=given, models=refs), rows)
    for role, model in models.items():
        (folder.inputs / role).symlink_to(model)
    return folder


def traces(folder: RunFolder) -> dict[str, TraceRecord]:
    return {one.id: one for one in read_records(folder.records)[0] if isinstance(one, TraceRecord)}


def samples(folder: RunFolder) -> list[EvaluationRecord]:
    return [one for one in read_records(folder.records)[0] if isinstance(one, EvaluationRecord)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> RunFolder:
    """A finished run: weighted best-of-3 under two caps."""
    folder = evaluation(tmp_path_factory.mktemp("done") / "run", models, ROWS[:10], strategy="weighted", budgets="8,40")
    assert here(folder) == 0, ended(folder).traceback
    return folder


def test_every_sample_is_a_record_with_its_trace_its_grades_and_its_tokens(
    done: RunFolder, models: dict[str, Path]
) -> None:
    made, written = samples(done), traces(done)
    assert Counter(one.row for one in made) == Counter({row.id: 2 * (3 + 1) for row in ROWS[:10]})
    rows = {row.id: row for row in ROWS}
    judge = PrmJudge(load_prm(str(models["prm"])))
    for one in made:
        trace = written[one.trace]
        response = read_response(trace.text)
        assert (one.problem, one.reference) == (rows[one.row].problem, rows[one.row].reference)
        assert (one.suite, one.model, one.prm, one.strategy) == ("own", "the model", "the prm", "weighted")
        assert one.version == sha256_of_folder(models["model"])
        assert one.answer == response.answer
        pair = Pair(response.answer, one.reference or "")
        strict, lenient = (grade_exactly(pair, form) for form in (GradeForm.STRICT, GradeForm.LENIENT))
        if strict is not None and lenient is not None:
            assert (one.strict, one.lenient, one.correct) == (strict.correct, lenient.correct, lenient.correct)
        assert trace.budget is not None
        assert one.thinking_tokens == trace.budget.thinking <= (one.budget or 0)
        assert one.budget in (8, 40)
        (scores,) = judge.scores([one.problem], [response.step_texts])
        assert one.detail.get("score") == pytest.approx(aggregate(scores, Aggregation.MIN), abs=1e-5)
    assert {one.spent.prm_calls for one in made if one.sample >= 0} == {1}
    said = ended(done).summary
    drawn = [one for one in made if one.sample >= 0]
    assert said["samples"] == len(drawn) == 60
    assert said["accuracy"] == pytest.approx(np.mean([bool(one.correct) for one in drawn]))
    assert said["thinking_tokens"] == pytest.approx(np.mean([one.thinking_tokens for one in drawn]))


def test_the_choice_is_that_of_the_heaviest_group(done: RunFolder) -> None:
    of: dict[tuple[str, int | None], list[EvaluationRecord]] = {}
    for one in samples(done):
        of.setdefault((one.row, one.budget), []).append(one)
    voted = 0
    for group in of.values():
        (choice,) = [one for one in group if one.sample == -1]
        drawn = [one for one in group if one.sample >= 0]
        weights: dict[int, float] = {}
        for one in drawn:
            if one.answer is not None:
                key = int(one.detail["group"])
                weights[key] = weights.get(key, 0.0) + float(one.detail.get("score", 0.0))
            else:
                assert one.detail["group"] == -1
        assert choice.spent.tokens == sum(one.spent.tokens for one in drawn)
        if not weights:
            assert (choice.answer, choice.correct) == (None, False)
            continue
        voted += 1
        best = max(weights.values())
        assert weights[int(choice.detail["group"])] == pytest.approx(best)
        assert choice.correct in {one.correct for one in drawn if weights.get(int(one.detail["group"])) == best}
    assert voted >= 5


def test_a_longer_cap_begins_with_the_same_thoughts(done: RunFolder) -> None:
    written = traces(done)
    for row in ROWS[:10]:
        some = [one for one in samples(done) if one.row == row.id and one.sample == 0]
        short, long = sorted(some, key=lambda one: one.budget or 0)
        kept = written[short.trace].text[:6]
        assert written[long.trace].text.startswith(kept)


def plain(record: EvaluationRecord | TraceRecord) -> Any:
    """A record without what a clock says."""
    if isinstance(record, TraceRecord):
        return record
    return msgspec.structs.replace(record, spent=msgspec.structs.replace(record.spent, seconds=0.0))


def test_an_attempt_after_a_kill_at_any_byte_repeats_and_loses_nothing(
    tmp_path: Path, done: RunFolder, models: dict[str, Path]
) -> None:
    whole = {one.id: plain(one) for one in read_records(done.records)[0]}  # type: ignore[arg-type]
    data = done.records.read_bytes()
    draw = random.Random(5)
    for number in range(3):
        folder = evaluation(tmp_path / str(number), models, ROWS[:10], strategy="weighted", budgets="8,40")
        folder.records.write_bytes(data[: draw.randrange(len(data))])
        shutil.copy(done.events, folder.events)
        assert here(folder) == 0, ended(folder).traceback
        again = read_records(folder.records)[0]
        assert len({one.id for one in again}) == len(again)
        assert {one.id: plain(one) for one in again} == whole  # type: ignore[arg-type]


def test_a_trace_that_was_recorded_before_the_kill_is_the_one_that_is_graded(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    first = evaluation(tmp_path / "first", models, ROWS[:2], n=1)
    assert here(first) == 0
    lines = first.records.read_bytes().splitlines(keepends=True)
    trace = msgspec.json.decode(lines[0], type=TraceRecord)
    other = msgspec.structs.replace(trace, text="<think>\nanother\n</think>\n\n# Answer\n\n777")
    second = evaluation(tmp_path / "second", models, ROWS[:2], n=1)
    second.records.write_bytes(msgspec.json.encode(other) + b"\n")
    assert here(second) == 0, ended(second).traceback
    graded = next(one for one in samples(second) if one.trace == trace.id)
    assert graded.answer == "777"
    assert len(traces(second)) == 2


def test_a_finished_evaluation_does_nothing_twice(tmp_path: Path, done: RunFolder) -> None:
    folder = RunFolder(tmp_path / "again")
    shutil.copytree(done.path, folder.path, symlinks=True)
    before = folder.records.read_bytes()
    assert here(folder) == 0
    assert folder.records.read_bytes() == before


def test_a_problem_too_long_counts_nowhere(tmp_path: Path, models: dict[str, Path]) -> None:
    long = msgspec.structs.replace(ROWS[0], id="long", problem="Start with 3. " * 2000)
    folder = evaluation(tmp_path / "run", {"model": models["model"]}, [ROWS[1], long], temperature=0.0, n=1,
                        keep_traces=False)  # fmt: skip
    assert here(folder) == 0, ended(folder).traceback
    told = {one.code: one.message for one in all_events(folder) if isinstance(one, events.Notice)}
    assert "counts nowhere" in told["problem_refused"]
    made = samples(folder)
    assert [one.row for one in made] == [ROWS[1].id]
    assert {one.trace for one in made} == {""}
    assert traces(folder) == {}


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"suite": "processbench"}, "set `prm`"),
        ({"strategy": "best-of-n"}, "set `prm`"),
        ({"strategy": "majority", "temperature": 0.0}, "majority would choose among 3 copies; set temperature above 0"),
        ({"budgets": "8;16"}, "no list of tokens"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, models: dict[str, Path], settings: dict[str, Any], needed: str
) -> None:
    folder = evaluation(tmp_path / "run", {"model": models["model"]}, ROWS[:2], **settings)
    assert here(folder) == 1
    assert needed in ended(folder).message


def solution(number: int, steps: int, **extra: Any) -> InputRow:
    texts = tuple(f"Step {place}: {number} + {place} = {number + place}." for place in range(steps))
    return InputRow(
        id=f"row-{number}", trace="", segmentation=0, problem=f"Add {number}.", steps=texts,
        step_ids=tuple(range(steps)), reference="", extra=extra,
    )  # fmt: skip


def scores_of(one: EvaluationRecord) -> list[float | None]:
    return [None if word == "-" else float(word) for word in str(one.detail["scores"]).split()]


def test_process_bench_figures_are_those_of_the_scores(tmp_path: Path, models: dict[str, Path]) -> None:
    draw = random.Random(1)
    rows = [solution(n, 4, label=draw.choice([-1, 0, 2]), subset=draw.choice(["a", "b"])) for n in range(30)]
    folder = evaluation(tmp_path / "run", {"prm": models["prm"]}, rows, suite="processbench", threshold=0.5)
    assert here(folder) == 0, ended(folder).traceback
    made = samples(folder)
    judge = PrmJudge(load_prm(str(models["prm"])))
    scores = judge.scores([row.problem for row in rows], [row.steps for row in rows])
    for one, row in zip(made, scores, strict=True):
        assert scores_of(one) == pytest.approx(row, abs=1e-4)
    figure = process_bench(scores, [row.extra["label"] for row in rows], [row.extra["subset"] for row in rows])
    columns: list[list[Any]] = [[one.detail[name] for one in made] for name in ("predicted", "labelled", "subset")]
    assert process_bench_interval(*columns).value == pytest.approx(figure.f1, nan_ok=True)
    assert [one.correct for one in made] == [one.detail["predicted"] == one.detail["labelled"] for one in made]
    assert (made[0].model, made[0].version) == ("the prm", sha256_of_folder(models["prm"]))
    assert "[1] Step 1" in made[0].problem


def test_prm_bench_calls_every_step(tmp_path: Path, models: dict[str, Path]) -> None:
    draw = random.Random(2)
    rows = [
        solution(n, 5, wrong=[k for k in range(5) if draw.random() < 0.3], category="correct" if n % 5 == 0 else "x")
        for n in range(20)
    ]
    folder = evaluation(tmp_path / "run", {"prm": models["prm"]}, rows, suite="prmbench")
    assert here(folder) == 0, ended(folder).traceback
    made = samples(folder)
    threshold = load_prm(str(models["prm"])).prm.settings.threshold
    judge = PrmJudge(load_prm(str(models["prm"])))
    scores = judge.scores([row.problem for row in rows], [row.steps for row in rows])
    figure = prm_bench(
        scores, [row.extra["wrong"] for row in rows], [row.extra["category"] for row in rows], threshold=threshold
    )
    hits = []
    for one in made:
        pairs = list(zip(str(one.detail["truth"]), str(one.detail["called"]), strict=True))
        right, wrong = pairs.count(("1", "1")), pairs.count(("0", "0"))
        if one.detail["counts"]:
            hits.append((right, wrong, len(pairs) - right - wrong))
    assert prm_score_interval(hits).value == pytest.approx(figure.overall.prm_score, nan_ok=True)


def test_a_choice_without_an_answer_is_graded_as_its_first_sample(tmp_path: Path, models: dict[str, Path]) -> None:
    """Not known without a reference; right where words stayed away."""
    bare = msgspec.structs.replace(ROWS[0], reference=None)
    extra = {"prefix": "<think>\nI will only say", "must": "absent", "span": "banana"}
    policy = {"model": models["model"]}
    short = {"strategy": "majority", "n": 2, "max_answer_tokens": 1}
    for suite, row, grade in (("own", bare, None), ("regressions", msgspec.structs.replace(bare, extra=extra), True)):
        folder = evaluation(tmp_path / suite, policy, [row], suite=suite, **short)
        assert here(folder) == 0, ended(folder).traceback
        (choice,) = [one for one in samples(folder) if one.sample == -1]
        assert (choice.answer, choice.correct, choice.lenient) == (None, grade, grade)
        assert choice.detail["chosen"] == -1


def test_an_outcome_reward_model_scores_a_trace_by_its_end(tmp_path: Path, models: dict[str, Path]) -> None:
    orm = tmp_path / "orm"
    shutil.copytree(models["prm"], orm)
    config = msgspec.json.decode((orm / "config.json").read_bytes())
    config["steplens"]["judged"] = "outcome"
    (orm / "config.json").write_bytes(msgspec.json.encode(config))
    folder = evaluation(
        tmp_path / "run", {"model": models["model"], "prm": orm}, ROWS[:2], n=2, strategy="best-of-n", prm="orm"
    )
    assert here(folder) == 0, ended(folder).traceback
    written, judge = traces(folder), PrmJudge(load_prm(str(orm)))
    checked = 0
    for one in samples(folder):
        steps = read_response(written[one.trace].text).step_texts
        if one.sample >= 0 and steps and "score" in one.detail:
            (scores,) = judge.scores([one.problem], [steps])
            assert one.detail["score"] == pytest.approx(scores[-1], abs=1e-5)
            checked += len(steps) > 1
    assert checked


def test_a_regression_goes_on_from_its_prefix(tmp_path: Path, models: dict[str, Path]) -> None:
    prefix = "<think>\nI will only say"
    extra = {"prefix": prefix, "must": "absent", "span": "banana"}
    rows = [
        InputRow(id="regressions:1", trace="a" * 32, segmentation=0, problem=ROWS[0].problem, steps=(), step_ids=(),
                 reference=None, extra=extra),
        InputRow(id="regressions:2", trace="b" * 32, segmentation=0, problem=ROWS[0].problem, steps=(), step_ids=(),
                 reference=ROWS[0].reference, extra=extra | {"must": "answer"}),
    ]  # fmt: skip
    folder = evaluation(tmp_path / "run", {"model": models["model"]}, rows, suite="regressions", n=1, temperature=0.0)
    assert here(folder) == 0, ended(folder).traceback
    by_words, by_answer = samples(folder)
    assert by_words.correct is True
    assert by_words.detail["came_back"] is False
    written = traces(folder)
    assert written[by_words.trace].text.startswith(prefix)
    assert (written[by_words.trace].source, written[by_words.trace].forked_at) == ("a" * 32, len(prefix))
    response = read_response(written[by_answer.trace].text)
    graded = grade_exactly(Pair(response.answer, ROWS[0].reference or ""), GradeForm.LENIENT)
    assert graded is not None
    assert by_answer.correct == graded.correct
