"""The recipe rl in real worker processes: what it writes, that it repeats itself bit for bit, and its variants."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from tests.trainer.runs import ended, finish, live_events, metrics, until
from tests.trainer.warm import finish_warm, start_warm
from trainer.__main__ import recipe_of
from trainer.contract import events, rollouts
from trainer.contract.records import InputRow, ModelRef, Split, TraceRecord
from trainer.contract.run_folder import RunFolder, read_records, sha256_of, sha256_of_folder
from trainer.contract.spec import CodeRef, RlSpec, RunSpec, build, parameters
from trainer.models.learn import trained
from trainer.reasoning.credit import CreditForm, CreditSettings, GroupScale
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.reasoning.response import read_response
from trainer.reasoning.what_if import credited
from trainer.recipes.rl import load
from trainer.runtime.worker import Worker, run_attempt

SMALL: dict[str, Any] = {
    "model": "the policy", "prompts": 4, "traces": 4, "max_thinking": 48, "max_answer": 12, "rate": 1e-4, "updates": 3,
    "eval_every": 2, "eval_problems": 8, "checkpoint_every": 1, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[InputRow]:
    """Problems with rated demonstrations."""
    made = make_demonstrations(160, seed=3)
    return [demonstration_row(one, number, rated=True) for number, one in enumerate(made)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, rows: list[InputRow]) -> dict[str, Path]:
    """A policy and a PRM that have learned a little."""
    root = tmp_path_factory.mktemp("models")
    taught = {"model": "tiny", "threads": 1, "max_steps": 60, "batch_size": 16, "rate": 3e-3, "max_length": 128}
    given: dict[str, dict[str, Any]] = {
        "sft": taught,
        "prm": {"model": "tiny", "threads": 1, "max_steps": 10, "batch_size": 8, "max_length": 128},
    }
    found = {}
    for recipe, values in given.items():
        folder = RunFolder(root / recipe)
        spec = RunSpec(run=recipe, name=recipe, recipe=recipe, parameters=parameters(build(recipe, values)))
        folder.create(spec, rows)
        assert here(folder) == 0, folder.tail_of_log()
        found["model" if recipe == "sft" else "prm"] = folder.model
    return found


def rl_run(
    path: Path, rows: list[InputRow], models: dict[str, Path], code: tuple[CodeRef, ...] = (), **settings: Any
) -> RunFolder:
    """A run of the recipe, not started."""
    folder = RunFolder(path)
    refs = tuple(
        ModelRef(role=role, path=f"inputs/{role}", checksum=sha256_of_folder(model), name=role)
        for role, model in models.items()
    )
    given = parameters(build("rl", SMALL | settings))
    folder.create(RunSpec(run="run-rl", name="rl", recipe="rl", parameters=given, models=refs, code=code), rows)
    for role, model in models.items():
        (folder.inputs / role).symlink_to(model)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, rows: list[InputRow], models: dict[str, Path]) -> RunFolder:
    """A finished run with two optimiser passes of two steps over each batch of rollouts."""
    folder = rl_run(tmp_path_factory.mktemp("rl") / "whole", rows, models, passes=2, parts=2)
    assert finish_warm(folder) == 0, folder.tail_of_log()
    return folder


def here(folder: RunFolder) -> int:
    """An attempt in this process, which has loaded the libraries already; returns the exit code."""
    return run_attempt(folder.path, recipe_of)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(str(folder.model / "model.safetensors"))


def test_it_tells_what_researchers_look_for(done: RunFolder) -> None:
    told = dict(metrics(done, "train"))
    assert sorted(told) == list(range(1, 13))
    first = told[1]
    for name in (
        "reward", "reward_std", "frac_reward_zero_std", "rewards/process/mean", "rewards/outcome/mean", "entropy",
        "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "completions/mean_length",
        "completions/min_length", "completions/max_length", "completions/clipped_ratio",
        "completions/mean_terminated_length", "num_tokens", "loss", "grad_norm", "learning_rate",
    ):  # fmt: skip
        assert name in first, name
    assert first["logprob_mismatch"] < 1e-4
    assert told[4]["logprob_mismatch"] > first["logprob_mismatch"]
    assert "reward" not in told[2]
    evaluated = dict(metrics(done, "validation"))
    assert sorted(evaluated) == [0, 8, 12]
    summary = ended(done).summary
    assert 0 <= summary["test_accuracy"] <= 1


def test_rollouts_are_kept_with_what_every_token_was_paid(done: RunFolder, rows: list[InputRow]) -> None:
    assert rollouts.updates(done.path) == (0, 1, 2)
    train = {row.id for row in rows if row.split is Split.TRAIN}
    settings = CreditSettings(form=CreditForm.MIN, scale=GroupScale.GROUP)
    decode = PreTrainedTokenizerFast.from_pretrained(done.model).decode
    for update in range(3):
        batch = rollouts.load(rollouts.path_of(done.path, update))
        assert batch.policy_version == update
        assert len(batch.traces) == 16
        assert {one.row for one in batch.traces} <= train
        again = credited(batch.traces, settings)
        for one, credit in zip(batch.traces, again, strict=True):
            assert len(rollouts.floats(one.logprobs)) == one.length
            ids = rollouts.ints(one.tokens).tolist()
            starts = np.frombuffer(one.starts, "<u4").tolist()
            before = [len(decode(ids[:k]).rstrip("\ufffd")) for k in range(one.length)]
            if one.ended == "stop":
                before[-1] = len(one.text)
            assert starts == before, "each token begins where the text before it ends"
            np.testing.assert_allclose(rollouts.floats(one.advantages), credit.tokens, atol=1e-6)
            assert credit.earned == pytest.approx(one.reward, abs=1e-9)
            read = read_response(one.text)
            assert [(span.start, span.end) for span in read.steps] == list(one.step_spans)
            assert all(0 <= score <= 1 for score in one.scores)
            right = None if one.answer is None else float(one.answer == one.reference)
            assert one.correct == (False if right is None else bool(right))


def test_the_test_problems_traces_are_recorded_and_no_others(done: RunFolder, rows: list[InputRow]) -> None:
    records = read_records(done.records)[0]
    assert {record.row for record in records} == {row.id for row in rows if row.split is Split.TEST}
    for record in records:
        assert isinstance(record, TraceRecord)
        assert [record.text[step.start : step.end] for step in record.steps] == list(
            read_response(record.text).step_texts
        )


def test_two_runs_of_one_spec_are_equal(
    done: RunFolder, rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = rl_run(tmp_path / "again", rows, models, passes=2, parts=2)
    assert finish(folder) == 0, folder.tail_of_log()  # started anew
    assert_equal(folder, done)


@pytest.mark.parametrize("step", [0, 5])
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(
    done: RunFolder, rows: list[InputRow], models: dict[str, Path], tmp_path: Path, step: int
) -> None:
    """Step 0: in the first rollouts; 5: between optimiser steps that share rollouts."""
    folder = rl_run(tmp_path / "killed", rows, models, passes=2, parts=2)
    worker = start_warm(folder)
    if step == 0:
        happened = until(
            worker, lambda: b"writing rollouts" in (folder.events.read_bytes() if folder.events.exists() else b"")
        )
    else:
        happened = until(
            worker, lambda: (folder.checkpoints / f"step-{step:08d}").exists() or len(metrics_told(folder)) > step
        )
    worker.kill()
    worker.wait()
    assert happened
    assert finish_warm(folder) == 0, folder.tail_of_log()
    assert_equal(folder, done)


def metrics_told(folder: RunFolder) -> list[object]:
    return metrics(folder, "train") if folder.events.exists() else []


def assert_equal(folder: RunFolder, other: RunFolder) -> None:
    for (name, one), (_, two) in zip(sorted(weights(folder).items()), sorted(weights(other).items()), strict=True):
        assert torch.equal(one, two), name
    assert metrics(folder, "train") == metrics(other, "train")
    assert metrics(folder, "validation") == metrics(other, "validation")
    for update in rollouts.updates(other.path):
        assert rollouts.path_of(folder.path, update).read_bytes() == rollouts.path_of(other.path, update).read_bytes()


def test_ppo_learns_a_value_and_the_distance_from_the_reference_starts_at_nothing(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = rl_run(
        tmp_path / "ppo",
        rows,
        models,
        algorithm="ppo",
        kl_weight=0.1,
        kl_place="reward",
        updates=4,
        rate=1e-3,
        value_rate=1e-2,
    )
    assert here(folder) == 0, folder.tail_of_log()
    told = [values for _, values in metrics(folder, "train")]
    assert told[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert told[-1]["kl"] > 1e-5
    assert told[0]["value_learning_rate"] == pytest.approx(1e-2)
    batch = rollouts.load(rollouts.path_of(folder.path, 0))
    assert all(not rollouts.floats(one.values).any() for one in batch.traces)  # the head begins at 0
    last = rollouts.load(rollouts.path_of(folder.path, 3))
    assert any(np.abs(rollouts.floats(one.values)).max() > 1e-3 for one in last.traces)
    assert "value" not in {name.partition(".")[0] for name in weights(folder)}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers
def test_adapters_alone_learn_and_the_reference_is_the_policy_without_them(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = rl_run(
        tmp_path / "lora", rows, {"model": models["model"]}, adapt="LoRA", lora_rank=4, kl_weight=0.05, rate=1e-2,
        algorithm="grpo", updates=3,
    )  # fmt: skip
    assert here(folder) == 0, folder.tail_of_log()
    begun = next(event for event in live_events(folder) if isinstance(event, events.Started))
    assert 0 < begun.trainable < begun.parameters / 2
    told = [values for _, values in metrics(folder, "train")]
    assert told[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert (folder.model / "adapter").is_dir()
    codes = {event.code for event in live_events(folder) if isinstance(event, events.Notice)}
    assert "no_prm" in codes


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers
def test_adapters_begin_alike_in_every_process(rows: list[InputRow], models: dict[str, Path], tmp_path: Path) -> None:
    folder = rl_run(tmp_path / "lora", rows, {"model": models["model"]}, adapt="LoRA", lora_rank=4)
    worker = Worker(folder, folder.read_spec())
    spec = worker.spec.typed()
    assert isinstance(spec, RlSpec)
    begun = []
    with closing(worker):
        for past in (1, 2):
            torch.manual_seed(past)
            begun.append(dict(trained(load(worker, spec).language)))
    assert all(torch.equal(begun[0][name], begun[1][name]) for name in begun[0])
    assert any(weight.abs().max() > 0 for weight in begun[0].values())


def test_a_users_reward_and_verifier_decide_once_agreed_to(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        "def short(trace):\n    return -float(len(trace.text))\n\ndef never(trace):\n    return 0.0\n", encoding="utf-8"
    )

    def code(role: str, function: str, consented: bool) -> CodeRef:
        path = "code/mine.py"
        return CodeRef(role=role, path=path, function=function, sha256=sha256_of(source), consented=consented)

    given = {"reward": "mine.py:short", "verifier": "mine.py:never", "reward_weight": 0.01, "updates": 1}
    for consented in (False, True):
        refs = (code("reward", "short", consented), code("verifier", "never", consented))
        folder = rl_run(tmp_path / f"own-{consented}", rows, {"model": models["model"]}, refs, **given)
        (folder.path / "code").mkdir()
        shutil.copy(source, folder.path / "code")
        if not consented:
            assert here(folder) == 1
            assert "you have not agreed" in ended(folder).message
            continue
        assert here(folder) == 0, folder.tail_of_log()
        batch = rollouts.load(rollouts.path_of(folder.path, 0))
        assert all(one.own == -len(one.text) and one.correct is False for one in batch.traces)
        for group in range(4):
            mine = [one for one in batch.traces if one.group == group and len(set(one.text))]
            longest, shortest = max(mine, key=lambda t: len(t.text)), min(mine, key=lambda t: len(t.text))
            if len(longest.text) > len(shortest.text):
                assert rollouts.floats(longest.advantages)[-1] < rollouts.floats(shortest.advantages)[-1]


def test_a_budget_is_said_counted_and_never_exceeded(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = rl_run(
        tmp_path / "budget", rows, {"model": models["model"]}, budget_low=4, budget_high=24, budget_reward="LCPO max",
        max_thinking=20, updates=1,
    )  # fmt: skip
    assert here(folder) == 0, folder.tail_of_log()
    traces = rollouts.load(rollouts.path_of(folder.path, 0)).traces
    assert {one.budget is not None and 4 <= one.budget <= 24 for one in traces} == {True}
    assert all(one.thinking_tokens <= 20 and one.answer_tokens <= 12 for one in traces)
    assert any(one.thinking_ended == "forced" for one in traces)
    for one in traces:
        forced = np.frombuffer(one.forced, np.uint8)
        assert one.thinking_ended != "forced" or forced.any()
        assert not forced.any() or one.thinking_ended in ("forced", "nudged"), "nudged: it had begun the mark itself"
    figures = metrics(folder, "train")[0][1]
    off = np.mean([abs(one.thinking_tokens - (one.budget or 0)) / (one.budget or 1) for one in traces])
    assert figures["budget/deviation"] == pytest.approx(off)


def test_a_policy_that_runs_away_is_paused_and_a_person_may_let_it_go_on(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path
) -> None:
    given = {"rate": 0.05, "kl_weight": 1e-6, "max_grad_norm": 0, "updates": 8, "eval_every": 8}
    folder = rl_run(tmp_path / "away", rows, {"model": models["model"]}, **given)
    assert here(folder) == 0
    last = ended(folder)
    assert last.outcome is events.Outcome.PAUSED
    told = [values["kl"] for _, values in metrics(folder, "train")]
    assert len(told) < 8
    assert min(told[-2:]) > 1.0, "nats a token, twice in a row"
    alarms = [e for e in live_events(folder) if isinstance(e, events.Notice) and e.code.startswith("alarm: ")]
    assert any("distance from the reference" in alarm.code and "Paused" in alarm.message for alarm in alarms)
    assert (folder.checkpoints / f"step-{last.step:08d}").is_dir()
    assert here(folder) == 0, folder.tail_of_log()
    while ended(folder).outcome is events.Outcome.PAUSED:  # another sign may come; each pauses once
        codes = [e.code for e in live_events(folder) if isinstance(e, events.Notice) and e.code.startswith("alarm: ")]
        assert len(codes) == len(set(codes))
        assert here(folder) == 0, folder.tail_of_log()
    assert ended(folder).outcome is events.Outcome.FINISHED
    assert [step for step, _ in metrics(folder, "train")] == list(range(1, 9))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "no policy chosen"),
        ({"verifier": "kind"}, "none of strict, lenient"),
        ({"traces": 1}, "at least 2"),
    ],
)
def test_what_cannot_be_run_says_what_to_do(
    rows: list[InputRow], models: dict[str, Path], tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    given = {} if settings.get("model") == "" else {"model": models["model"]}
    folder = rl_run(tmp_path / "refused", rows, given, **settings)
    assert here(folder) == 1
    assert message in ended(folder).message
