"""An alarm stops a run, its contested steps are rated, a new PRM learns from them, and the run goes on with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from studio.errors import RunError
from studio.exchange.demonstrations import PROJECT, make_demonstrations_project
from studio.exchange.sample import STORIES, make_stories_project
from studio.jobs import labelling, lineage, pins, refresh
from studio.jobs.ingest import ingest
from studio.jobs.prepare import create_run
from studio.jobs.track import Track
from studio.jobs.values import RunOrder
from studio.store import annotations, projects, runs, scores, traces
from studio.store.annotation_rows import Work
from studio.store.rows import Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from tests.trainer.runs import ended, live_events
from tests.trainer.test_rl_recipe import here
from trainer.contract import events, rollouts
from trainer.contract.events import Outcome
from trainer.contract.records import Rating, Split
from trainer.contract.run_folder import Control, RunFolder, sha256_of
from trainer.models.load import load_prm
from trainer.reasoning.contested import LIKE
from trainer.reasoning.split import fold_of, split_of
from trainer.rl.judges import REFRESHED
from trainer.rl.rewarder import PrmJudge
from trainer.rl.train import RlTraining
from trainer.runtime.worker import Stopped

TAUGHT = {"model": "tiny", "threads": 1, "max_steps": 30, "batch_size": 16, "rate": 3e-3, "max_length": 128}
PRM = {"model": "tiny", "threads": 1, "max_steps": 4, "batch_size": 8, "max_length": 128}
AWAY = {
    "prompts": 4, "traces": 4, "max_thinking": 48, "max_answer": 12, "updates": 6, "eval_every": 6, "eval_problems": 4,
    "checkpoint_every": 1, "threads": 1, "rate": 0.05, "kl_weight": 1e-6, "max_grad_norm": 0,
}  # fmt: skip
"""A learning rate at which the policy runs away from its reference within a few updates, which is an alarm."""


def attempt(workspace: Workspace, uid: str) -> StoredRun:
    """One attempt in this process, settled and ingested as the follower does it."""
    folder = RunFolder(workspace.runs / uid)
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        number = runs.claim(c, run.id)
    assert number is not None
    folder.clear_control()
    assert here(folder) == 0, folder.tail_of_log()
    state = {Outcome.FINISHED: StoredState.FINISHED, Outcome.PAUSED: StoredState.PAUSED}[ended(folder).outcome]
    workspace.database.run(lambda c: runs.settle(c, run.id, number, state, summary=ended(folder).summary))
    if state is StoredState.FINISHED:
        ingest(workspace, uid)
    with workspace.database.read() as c:
        return runs.by_uid(c, uid)


def resumed(workspace: Workspace, run: StoredRun) -> StoredRun:
    workspace.database.run(lambda c: runs.requeue(c, run.id))
    return attempt(workspace, run.uid)


def trained(workspace: Workspace, recipe: str, name: str, settings: dict[str, object], *where: str) -> StoredRun:
    uid = create_run(workspace, RunOrder(recipe, settings, Selection(projects=where), name))
    return attempt(workspace, uid)


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, StoredRun]]:
    """A workspace with a policy, a PRM, and an rl run that an alarm has paused."""
    with Workspace.open(tmp_path_factory.mktemp("alarm") / "workspace", create=True) as workspace:
        make_demonstrations_project(workspace, count=120)
        make_stories_project(workspace, count=40)
        trained(workspace, "sft", "policy", TAUGHT, PROJECT)
        trained(workspace, "prm", "first PRM", PRM, STORIES)
        settings = {**AWAY, "model": "policy", "prm": "first PRM"}
        uid = create_run(workspace, RunOrder("rl", settings, Selection(projects=(PROJECT,)), "loop"))
        run = attempt(workspace, uid)
        assert run.state is StoredState.PAUSED
        yield workspace, run


def test_from_an_alarm_over_labels_to_a_run_on_two_prms(
    paused: tuple[Workspace, StoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, run = paused
    folder = RunFolder(workspace.path / run.folder)
    track = Track(folder)
    track.read_all()
    assert "Paused" in track.alarm
    before = refresh.newest_step(folder)
    stored = counted(workspace)

    sent = labelling.send_contested(workspace, run.id)
    assert len(sent.steps) == sent.fresh == 10
    of_problem: dict[str, list[float]] = {}
    for one in sent.steps:
        of_problem.setdefault(one.problem, []).append(one.disagreement)
    for found in (list(of_problem.values()), [[values[0] for values in of_problem.values()]]):
        assert all(b <= a + LIKE for values in found for a, b in pairwise(values)), "the most contested first"
    assert len({one.problem for one in sent.steps[: len(of_problem)]}) == len(of_problem), (
        "each problem before a second"
    )
    again = labelling.send_contested(workspace, run.id)
    assert again.fresh == 0, "asked twice, the same steps are there once"
    assert {one.trace for one in again.steps} == {one.trace for one in sent.steps} == rollouts.pinned(folder.path)
    assert counted(workspace) == stored + 10
    with workspace.database.read() as c:
        place = projects.get(c, sent.project_id)
        assert (place.name, place.traces) == ("Contested: loop", 10)
        assert "but the answer is" in place.guideline
        first = traces.load(c, sent.steps[0].trace_id)
        (given,) = scores.of_trace(c, first.id)
    kept = next(pin.trace for pin in rollouts.pins(folder.path) if pin.trace.id == first.uid)
    assert given.values == pytest.approx(kept.scores)
    assert given.scorer == "first PRM"
    assert [(step.start, step.end) for step in first.segmentation.steps] == list(kept.step_spans)

    rate_all(workspace, sent)
    assert labelling.take_back(workspace, sent) == 0, "what somebody rates is not taken away"
    second = trained(workspace, "prm", "second PRM", {**PRM, "seed": 1}, STORIES, place.name)
    assert second.state is StoredState.FINISHED
    assert [choice.model.name for choice in refresh.choices(workspace, run.id)] == ["second PRM"]
    with pytest.raises(RunError, match="uses already"):
        refresh.refresh(workspace, run.id, "first PRM")
    with pytest.raises(RunError, match="cannot be the PRM"):
        refresh.refresh(workspace, run.id, "policy")
    new = refresh.refresh(workspace, run.id, "second PRM")
    assert new.from_step == before
    twin = shutil.copytree(folder.path, tmp_path / "twin")
    run = resumed(workspace, run)
    while run.state is StoredState.PAUSED:  # another sign may come
        run = resumed(workspace, run)

    assert stopped_after_every_update(RunFolder(twin), monkeypatch) == weights_of(folder), "to the last bit"

    told = [e for e in live_events(folder) if isinstance(e, events.Notice) and e.code == REFRESHED]
    assert [(notice.step, new.checksum[:12] in notice.message) for notice in told] == [(before, True)]
    assert every_update_was_scored_by_its_prm(folder, before)
    with workspace.database.read() as c:
        found = lineage.of_name(c, run.uid)
        assert {node.name for node in found.before} == {"loop", "policy", "first PRM", "second PRM"}
        assert f"prm: second PRM from step {before} on" in found.before[0].through
        learned = {use.trace for use in found.annotations if use.run == second.uid}
        assert {step.trace for step in sent.steps if is_for_training(step)} <= learned
        assert projects.get(c, sent.project_id).traces == 10, "the run's own traces stand in another project"
    assert "from step" in (folder.model / "MODEL_CARD.md").read_text("utf-8")


def stopped_after_every_update(twin: RunFolder, monkeypatch: pytest.MonkeyPatch) -> str:
    """The weights of the same run when it is paused after every update on its second PRM."""
    with monkeypatch.context() as patch:
        patch.setattr(RlTraining, "_alarm", stop)
        for _ in range(2):
            twin.clear_control()
            assert here(twin) == 0, twin.tail_of_log()
            assert ended(twin).outcome is Outcome.PAUSED
    while ended(twin).outcome is Outcome.PAUSED:
        assert here(twin) == 0, twin.tail_of_log()
    told = [e for e in live_events(twin) if isinstance(e, events.Notice) and e.code == REFRESHED]
    assert len(told) == 1, "told once, however often it is resumed"
    return weights_of(twin)


def weights_of(folder: RunFolder) -> str:
    return sha256_of(folder.model / "model.safetensors")


def is_for_training(step: labelling.Step) -> bool:
    return split_of(fold_of(step.problem)) is Split.TRAIN


def counted(workspace: Workspace) -> int:
    with workspace.database.read() as c:
        return traces.count(c, traces.TraceQuery())


def rate_all(workspace: Workspace, sent: labelling.Sent) -> None:
    """The weakest step is the first error; what stands before it is right."""
    with workspace.database.write() as c:
        who = projects.ensure_annotator(c, "Ada")
        for one in sent.steps:
            work = Work(sent.project_id, one.trace_id, who.id)
            for ordinal in range(one.step):
                annotations.rate(c, work, ordinal, Rating.POSITIVE)
            annotations.rate(c, work, one.step, Rating.NEGATIVE)
            annotations.submit(c, work, active_ms=1000)


def every_update_was_scored_by_its_prm(folder: RunFolder, changed: int) -> bool:
    """Scores of all kept rollouts against those of the two PRMs, each asked again."""
    spec = folder.read_spec()
    assert [model.from_step for model in spec.models if model.role == "prm"] == [0, changed]
    seen = set()
    for update in rollouts.updates(folder.path):
        ref = pins.prm_at(spec, update)
        assert ref is not None
        assert ref.from_step == (changed if update >= changed else 0)
        judge = PrmJudge(load_prm(str(folder.path / ref.path)))
        batch = rollouts.load(rollouts.path_of(folder.path, update)).traces
        with torch.inference_mode():
            asked = judge.scores([t.problem for t in batch], [[t.text[a:b] for a, b in t.step_spans] for t in batch])
        for trace, again in zip(batch, asked, strict=True):
            assert trace.scores == pytest.approx(again, abs=1e-5)
            seen |= {ref.from_step} if trace.scores else set()
    return seen == {0, changed}


def test_pins_outlive_pruning_and_resume_and_only_they_and_test_traces_are_stored(
    paused: tuple[Workspace, StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = paused
    given = {**AWAY, "rate": 1e-5, "updates": 3, "keep_rollouts": 1, "on_alarm": "only tell", "model": "policy"}
    uid = create_run(workspace, RunOrder("rl", given, Selection(projects=(PROJECT,)), "pinned"))
    folder = RunFolder(workspace.runs / uid)
    with monkeypatch.context() as patch:
        patch.setattr(RlTraining, "_alarm", stop)
        run = attempt(workspace, uid)
    assert run.state is StoredState.PAUSED
    stored = counted(workspace)
    early = rollouts.load(rollouts.path_of(folder.path, 0)).traces[0]
    assert not pins.pin(workspace, run.id, 0, early.id).stored, "it goes on: stored when it ends"
    assert counted(workspace) == stored
    run = resumed(workspace, run)
    assert run.state is StoredState.FINISHED
    assert rollouts.updates(folder.path) == (2,), "the others are pruned"
    assert [(pin.update, pin.trace) for pin in rollouts.pins(folder.path)] == [(0, early)]
    tested = sum(row.split is Split.TEST for row in folder.read_input())
    assert counted(workspace) == stored + tested + 1, "the test problems' traces, the pinned one, and nothing else"

    late = rollouts.load(rollouts.path_of(folder.path, 2)).traces[0]
    assert pins.pin(workspace, run.id, 2, late.id).stored
    assert counted(workspace) == stored + tested + 2
    assert in_project(workspace) == tested + 2
    assert pins.unpin(workspace, run.id, late.id).text == "No longer pinned; it has left the run's project"
    assert in_project(workspace) == tested + 1
    assert pins.pin(workspace, run.id, 2, late.id).stored
    assert in_project(workspace) == tested + 2, "and comes back"
    with pytest.raises(RunError, match="holds no trace"):
        pins.pin(workspace, run.id, 2, "f" * 32)


def stop(_training: RlTraining) -> None:
    raise Stopped(Control.PAUSE)


def in_project(workspace: Workspace) -> int:
    with workspace.database.read() as c:
        place = projects.by_name(c, "Run: pinned")
    assert place is not None
    return place.traces
