"""The verbs bisect and fork with the tiny policy: one worker answers all, and what cannot be asked is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio import cli
from studio.errors import RunError
from studio.jobs import shipped
from studio.jobs.bisecting import Bisecting, cost_of, left_of, sought_in, what_for
from studio.jobs.continuing import Continuation, Start, read_start
from studio.jobs.forking import Forking
from studio.store import batches, machine_labels, traces
from studio.store.models import StoredModel
from studio.store.traces import NewTrace
from studio.workspace import Workspace
from tests.e2e.test_inspect_resident import end_workers
from trainer.contract.records import Block, BlockKind, Message
from trainer.reasoning.recorded import messages_of, steps_of
from trainer.reasoning.response import read_response

WRONG = "<think>\nTry 12\n12 - 4 = 8\n8 * 2 = 10\nYes\nCheck 12\n12 - 4 = 8\n8 * 2 = 10\nYes\n</think>\nAnswer: 12"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """The tiny policy and a wrong trace; its workers are ended when the test is."""
    path = tmp_path / "workspace"
    with Workspace.open(path, create=True) as made:
        shipped.ensure(made)
        response = read_response(WRONG)
        new = NewTrace(
            shipped.EXAMPLES[0].problem, WRONG, messages_of(response), steps_of(response),
            reference_answer="9", answer="12", outcome=0, model=shipped.POLICY,
        )  # fmt: skip
        with made.database.write() as c:
            batch = batches.begin(c, "sample", None, "written for a test")
            traces.add(c, new, batch_id=batch)
            batches.publish(c, batch, {})
    yield path
    end_workers(path)


def start_of(workspace: Path) -> Start:
    with Workspace.open(workspace) as opened, opened.database.read() as c:
        return read_start(c, 1)


def test_a_trace_is_bisected_and_forked(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--workspace", str(workspace), "--model", shipped.POLICY, "--json", "--max-thinking-tokens", "50",
              "--max-answer-tokens", "16")  # fmt: skip
    assert cli.main(["bisect", "1", "--n", "4", *common]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["looked_for"], said["by"], said["where"]) == ("lost", "reference answer", "at a step")
    assert said["step"] in (7, 8)
    assert said["range"][0] <= said["step"] <= said["range"][1]
    assert said["tokens"] == sum(one["tokens"] for probe in said["probes"] for one in probe["traces"])
    with Workspace.open(workspace) as opened, opened.database.read() as c:
        (label,) = machine_labels.of_trace(c, 1)
    begun = said["probes"][0]["share"]
    for probe in said["probes"][1:]:
        left = label.values[probe["steps"] - 1]
        assert left == pytest.approx(min(1.0, probe["share"] / begun))
    assert cli.main(["fork", "1", "--step", "7", "--text", "8 * 2 = 16", "--n", "4", *common]) == 0
    forked = json.loads(capsys.readouterr().out)
    first, second = ([one["right"] for one in branch["traces"]] for branch in forked["branches"])
    assert sum(second) > sum(first)
    assert forked["gain"]["value"] == pytest.approx((sum(second) - sum(first)) / 4)
    assert cli.main(["fork", "1", "--step", "9", *common]) == 1
    assert "steps 1 to 8" in capsys.readouterr().err
    assert cli.main(["bisect", "1", "--workspace", str(workspace), "--model", "nobody"]) == 1
    assert f"policies of this workspace: {shipped.POLICY}" in capsys.readouterr().err


def test_what_no_run_would_take_is_refused_before_its_cost_is_told(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--workspace", str(workspace), "--model", shipped.POLICY)
    for verb, given, why in (
        (("bisect", "1"), ("--n", "0"), "n = 0 is outside"),
        (("bisect", "1"), ("--max-thinking-tokens", "-5"), "max_thinking_tokens = -5 is outside"),
        (("fork", "1", "--step", "2"), ("--max-answer-tokens", "0"), "max_answer_tokens = 0 is outside"),
    ):
        assert cli.main([*verb, *given, *common]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("steplens: ")
        assert why in said.err
        assert "At most" not in said.err


def test_prefixes_lie_behind_the_space_after_each_step(workspace: Path) -> None:
    start = start_of(workspace)
    assert [start.prefix(count) for count in (0, 1, 8)] == [
        "<think>\n",
        "<think>\nTry 12\n",
        WRONG[: WRONG.index("</")],
    ]
    assert start.left[0] > start.left[-1]


def test_what_cannot_be_continued_is_said_with_a_remedy(workspace: Path) -> None:
    with Workspace.open(workspace) as opened, opened.database.write() as c:
        batch = batches.begin(c, "sample", None, "written for a test")
        turns = tuple(
            Message(role, (Block(BlockKind.OTHER, at, at + 2),))
            for at, role in ((0, "user"), (2, "assistant"), (4, "user"), (6, "assistant"))
        )
        new = NewTrace("Hi?", "HiYoHmOk", turns, steps_of(read_response("HiYoHmOk")))
        talk = traces.add(c, new, batch_id=batch).trace_id
        across = NewTrace("Hi?", "HiYo", turns[:2], steps_of(read_response("HiYo")), line=2)
        straddling = traces.add(c, across, batch_id=batch).trace_id
        bare = traces.add(c, NewTrace("Hi?", "Hm", (), (), line=1), batch_id=batch).trace_id
        batches.publish(c, batch, {})
        with pytest.raises(RunError, match="a conversation of 4 turns"):
            read_start(c, talk)
        with pytest.raises(RunError, match=r"1 of the 1 steps of trace .* cut it into steps anew"):
            read_start(c, straddling)
        with pytest.raises(RunError, match="cut it into steps first"):
            read_start(c, bare)
    start = start_of(workspace)
    with pytest.raises(RunError, match="give the problem a reference answer"):
        sought_in(replace(start, reference=None, answer=None))
    assert "no longer come to the reference answer 9" in what_for(start)
    assert "agree with the trace's own answer 12" in what_for(replace(start, reference=None))
    assert what_for(replace(start, outcome=1)).startswith("This trace is right")


def continuations(right: int, number: int) -> list[Continuation]:
    return [Continuation(at, "9" if at < right else "12", at < right, 10) for at in range(number)]


def driven(start: Start, model: StoredModel, chances: dict[int, int]) -> Bisecting:
    """Bisected, with so many of 16 right behind each prefix."""
    work = Bisecting(start, model, 16, 50, 16)
    while work.wanted is not None:
        work.take(continuations(chances[work.wanted], 16), 0.5)
    return work


def test_what_is_found_is_told_with_its_doubt(workspace: Path) -> None:
    start = start_of(workspace)
    with Workspace.open(workspace) as opened:
        policy = shipped.ensure(opened).policy
    lost = driven(start, policy, {at: 14 if at < 5 else 1 for at in range(9)})
    assert (
        lost.words == "Success is lost in step 5: 88% before it, 6% behind it. The 95 % intervals leave no other place."
    )
    assert lost.tokens == 160 * len(lost.search.probes)
    assert lost.spent.startswith(f"{len(lost.search.probes)} of at most 5 prefixes")
    never = driven(start, policy, dict.fromkeys(range(9), 0))
    assert "Nowhere in this trace: already before step 1 none of 16" in never.words
    assert left_of(never.search) is None
    kept = driven(start, policy, dict.fromkeys(range(9), 16))
    assert "In no step: behind all 8" in kept.words
    doubtful = driven(start, policy, {at: 8 if at < 3 else 3 for at in range(9)})
    assert "may lie anywhere from" in doubtful.words
    own = driven(replace(start, reference=None), policy, {at: 2 if at < 6 else 15 for at in range(9)})
    assert own.words.startswith("The answer is settled in step 6: 12% before it, 94% behind it.")
    assert left_of(own.search) is None
    with pytest.raises(RunError, match="could be graded"):
        Bisecting(start, policy, 2, 50, 16).take([Continuation(1, None, None, 3)] * 2, 0.1)
    cost = cost_of(start, 16, 50, 16)
    assert (cost.prefixes, cost.continuations, cost.most) == (5, 80, 80 * 66)
    assert 0 < cost.about <= cost.most


def test_an_edit_is_put_in_the_place_of_the_step(workspace: Path) -> None:
    start = start_of(workspace)
    with Workspace.open(workspace) as opened:
        policy = shipped.ensure(opened).policy

    def forked(text: str) -> tuple[str, ...]:
        return Forking(start, policy, 2, text, 4, 50, 16).prefixes

    before = "<think>\nTry 12\n12 - 4 = 8\n"
    assert forked(" 8 * 2 = 16 ") == (f"{before}8 * 2 = 10\n", f"{before}8 * 2 = 16\n")
    assert forked("") == (f"{before}8 * 2 = 10\n", before)
    assert forked("8 * 2 = 10") == (f"{before}8 * 2 = 10\n",)
    work = Forking(start, policy, 2, "8 * 2 = 16", 16, 50, 16)
    work.take(continuations(2, 16), 1.0)
    work.take(continuations(14, 16), 1.0)
    assert work.wanted is None
    assert work.words.startswith("The edit changes the share of right answers by +75 points")
    assert work.answers(1) == "9 × 14, 12 × 2"
    with pytest.raises(RunError, match="there is no step 9"):
        Forking(start, policy, 8, "", 4, 50, 16)
