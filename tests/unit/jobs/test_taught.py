"""How long a policy was taught to think: the shipped one, one that rl made; and questions that keep to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.jobs import shipped
from studio.jobs.asking import Question, Way
from studio.jobs.taught import Taught, kept_to, scored_as_taught, taught
from studio.store import models, runs
from studio.workspace import Workspace
from trainer.reasoning.budget import allocate


def asked(workspace: Workspace, **given: Any) -> tuple[dict[str, str], str]:
    with workspace.database.read() as c:
        kept, said = kept_to(c, Question(**{"problem": "2?", "model": shipped.POLICY} | given))
    return dict(kept.settings), said


def test_a_question_keeps_to_what_its_policy_was_taught(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        shipped.ensure(workspace)
        for way in (Way.SINGLE, Way.BEST_OF_N):
            assert asked(workspace, way=way) == ({"max_thinking_tokens": "96"}, "")
        assert asked(workspace, routed=True)[0] == {"max_thinking_tokens": "96"}
        for tokens in ("0", "24", "96"):
            given = {"max_thinking_tokens": tokens}
            assert asked(workspace, settings=given) == (given, "")
        for tokens in ("23", "97", "512"):
            settings, said = asked(workspace, settings={"max_thinking_tokens": tokens})
            assert settings == {"max_thinking_tokens": tokens}, "what is asked for is granted"
            assert f"taught to think for 24 to 96 tokens; granted {tokens} it" in said
        share = allocate(96 + 20, 1.0).thinking
        settings, said = asked(workspace, difficulty=1.0, settings={"max_answer_tokens": "20"})
        assert f"granted {share} it" in said
        assert asked(workspace, difficulty=0.5, settings={"max_answer_tokens": "20"})[1] == ""
        for odd in ({"max_thinking_tokens": "many"}, {"tell_budget": "never", "max_thinking_tokens": "500"}):
            assert asked(workspace, settings=odd) == (odd, "")
        for other in ("", "nobody", shipped.PRM):
            assert asked(workspace, model=other) == ({}, "")


def test_the_shipped_prm_judges_a_trace_by_its_last_step(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        shipped.ensure(workspace)

        def aggregation(**given: Any) -> str | None:
            with workspace.database.read() as c:
                kept = scored_as_taught(c, Question(**{"problem": "2?", "model": "m", "prm": shipped.PRM} | given))
            return kept.settings.get("aggregation")

        assert aggregation(way=Way.MCTS) == "last"
        assert aggregation(way=Way.MCTS, settings={"aggregation": "mean"}) == "mean"
        for other in ({"way": Way.MAJORITY}, {"way": Way.MCTS, "prm": "another"}, {"routed": True}):
            assert aggregation(**other) is None


@pytest.mark.parametrize(
    ("recipe", "given", "known"),
    [
        ("rl", {"budget_low": 10, "budget_high": 60}, Taught(10, 60)),
        ("rl", {"budget_low": 80, "budget_high": 60}, Taught(60, 60)),
        ("rl", {"budget_low": 0, "budget_high": 0}, None),
        ("sft", {"budget": "LCPO exact"}, None),
    ],
)
def test_the_run_that_made_a_policy_says_what_it_taught(
    tmp_path: Path, recipe: str, given: dict[str, Any], known: Taught | None
) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace, workspace.database.write() as c:
        run = runs.prepare(c, uid="r", name="mine", recipe=recipe, device="cpu", host="here", process="")
        runs.enqueue(c, run, {"parameters": given})
        models.register(c, run_id=run, name="mine", kind=recipe, folder="runs/r/model", checksum="x", base="tiny",
                        summary={})  # fmt: skip
        made = models.find(c, "mine")
        assert made is not None
        assert taught(c, made) == known
