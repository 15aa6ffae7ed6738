"""An answer while it comes: taken-back text, the best prefix, budgets; and how strategies are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from studio.errors import RunError
from studio.jobs.asking import Way
from studio.ui.play.live import Live
from studio.ui.play.outcome import judge
from studio.ui.play.values import ENTRANTS, ROUTER, Address, Begun, Budgets, Entrant, Models, Play, asking
from trainer.contract.events import Grew, Wrote
from trainer.contract.generated import SearchNode, Spent
from trainer.contract.requests import GenerateRequest, RouteRequest, SearchRequest
from trainer.reasoning.budget import Grant
from trainer.reasoning.safety import Category, Verdict

GRANT = Grant(20, 10, None, "hand")
ONE = ENTRANTS[0]


def live() -> Live:
    return Live("What is 1 + 1?", "2", "Policy", "One trace", GRANT)


def wrote(text: str, starts: tuple[int, ...], **more: Any) -> Wrote:
    given = {"trace": 0, "part": "thinking", "attempt": 1, **more}
    values = tuple(-0.25 * (n + 1) for n in range(len(starts)))
    return Wrote(
        sequence=0, at=0.0, step=0, request="r", text=text, starts=starts, logprobs=values, entropy=values, **given
    )


def grew(nodes: dict[int, SearchNode], attempt: int = 1) -> Grew:
    spent = Spent(tokens=sum(node.tokens for node in nodes.values()))
    return Grew(sequence=0, at=0.0, step=0, attempt=attempt, request="r", nodes=nodes, spent=spent)


def test_text_that_is_taken_back_goes_with_its_tokens() -> None:
    shown = live()
    shown.take(wrote("<think>\n1 + 1", (8, 10, 12)))
    shown.take(wrote(" = 2\n", (11,), dropped=2))
    opened = shown.opened()
    assert opened.trace.text == "<think>\n1 + = 2\n"
    assert opened.tokens is not None
    assert opened.tokens.starts.tolist() == [8, 10, 11]
    assert opened.texts == ("1 + = 2",)


def test_thinking_and_answer_are_counted_apart() -> None:
    shown = live()
    shown.take(wrote("<think>\n1 + 1\n", (8, 10, 12)))
    assert (shown.opened().conversation.budget.thinking, shown.opened().conversation.budget.answer) == (3, 0)
    shown.take(wrote("</think>\nAnswer: 2", (23, 31), part="answer"))
    budget = shown.opened().conversation.budget
    assert (budget.thinking, budget.answer, budget.used, budget.granted) == (3, 2, 5, 30)
    assert not budget.mismatch


def test_what_a_race_goes_on_from_counts_and_stands_before_the_rest() -> None:
    begun = Begun(7, "u" * 32, 1, "<think>\n1 + 1\n", thinking=5)
    shown = Live("What is 1 + 1?", "2", "Policy", "Beam", GRANT, begun)
    assert shown.opened().trace.text == begun.text
    assert shown.opened().conversation.budget.used == 5
    shown.take(grew({0: SearchNode(-1, "?"), 1: SearchNode(0, "= 2\n", 0.9, 0.9, tokens=2, round=1)}))
    assert shown.opened().trace.text == begun.text + "= 2\n"
    shown.take(wrote(begun.text + "= 2\n", (14, 16)))
    assert (shown.opened().conversation.budget.thinking, shown.opened().conversation.budget.used) == (7, 7)
    play = Play("What is 1 + 1?", None, Models("policy", "prm"), Budgets(20, 10), ENTRANTS[:1], begun=begun)
    for models in (Models("policy"), Models("policy", "prm")):
        request = asking(replace(play, models=models), ONE).request
        assert isinstance(request, GenerateRequest | SearchRequest)
        assert (request.prefix, request.forked_from) == (begun.text, begun.uid)


def test_the_router_s_second_model_has_a_grant_of_its_own() -> None:
    play = Play("What is 1 + 1?", None, Models("p", reasoning="r"), Budgets(20, 10), (ROUTER,))
    later = play.later(ROUTER)
    assert later is not None
    assert play.later(ONE) is None
    shown = Live("What is 1 + 1?", None, "p", "Router", GRANT, later=later)
    for number in range(later[0]):
        shown.take(wrote("1", (0,), trace=number, done=True))
    assert shown.opened().conversation.budget.thinking_granted == 20
    shown.take(wrote("1", (0,), trace=later[0]))
    assert shown.opened().conversation.budget.thinking_granted == 30


def test_a_reasoning_model_at_an_address_is_named_with_the_name_of_its_key() -> None:
    there = Address("http://h/v1", "large", "LARGE_KEY", "Anthropic messages")
    play = Play("?", None, Models("p", address=there), Budgets(20, 10), (ROUTER,))
    asked = asking(play, ROUTER)
    assert "reasoning" not in asked.models
    said = {name: str(value) for name, value in asked.settings.items() if name.startswith("reasoning_")}
    assert said == {
        "reasoning_url": "http://h/v1", "reasoning_name": "large", "reasoning_key": "LARGE_KEY",
        "reasoning_speaks": "Anthropic messages",
    }  # fmt: skip


def test_copies_are_objected_to() -> None:
    cold = Play("?", None, Models("p", "prm"), Budgets(20, 10), ENTRANTS, temperature=0.0)
    assert [each.title for each in ENTRANTS if not cold.objection(each)] == ["One trace", "Router"]
    one = replace(cold, n=1)
    assert [each.title for each in ENTRANTS if not one.objection(each)] == [
        "One trace", "Self-consistency", "Best-of-n", "Weighted best-of-n", "Router"
    ]  # fmt: skip
    assert not any(replace(cold, temperature=0.5).objection(each) for each in ENTRANTS)


def test_of_many_traces_the_one_being_written_is_shown() -> None:
    shown = live()
    shown.take(wrote("first", (0,)))
    shown.take(wrote("second", (0,), trace=1))
    assert shown.text == "first"
    shown.take(wrote("", (), done=True))
    assert shown.text == "second"
    assert (shown.traces, shown.tokens) == (2, 2)


def test_a_later_attempt_begins_anew() -> None:
    shown = live()
    shown.take(wrote("lost", (0,)))
    shown.take(grew({0: SearchNode(-1, "p"), 1: SearchNode(0, "a\n", tokens=4)}))
    shown.take(wrote("again", (0,), attempt=2))
    shown.take(grew({0: SearchNode(-1, "p")}, attempt=2))
    assert shown.text == "again"
    assert len(shown.nodes) == 1


def test_the_best_prefix_of_the_last_round_is_shown_and_the_tree_holds_all() -> None:
    shown = live()
    shown.take(grew({
        0: SearchNode(-1, "p"),
        1: SearchNode(0, "a\n", value=0.9, round=1),
        2: SearchNode(0, "b\n", value=0.2, round=1),
    }))  # fmt: skip
    assert shown.text == "a\n"
    shown.take(grew({
        2: SearchNode(0, "b\n", value=0.5, round=1, kept=True),
        3: SearchNode(1, "c\n", value=0.1, round=2),
        4: SearchNode(2, "d\n", value=0.8, round=2),
    }))  # fmt: skip
    assert shown.text == "b\nd\n"
    tree = shown.tree()
    assert tree is not None
    assert [tree.text(node) for node in range(1, 5)] == ["a\n", "c\n", "b\n", "d\n"]
    assert np.allclose(tree.tree.value[1:], [0.9, 0.1, 0.5, 0.8])


@pytest.mark.parametrize("entrant", ENTRANTS, ids=lambda each: each.title)
@pytest.mark.parametrize("prm", ["", "PRM"])
def test_every_strategy_is_asked_of_the_recipe_that_can(entrant: Entrant, prm: str) -> None:
    play = Play("p", "2", Models("P", prm, "R"), Budgets(20, 10, 0.5), (entrant,), n=6, seed=3)
    if entrant.needs_prm and not prm:
        with pytest.raises(RunError, match="prm"):
            asking(play, entrant)
        return
    made = asking(play, entrant)
    request = made.request
    assert isinstance(request, GenerateRequest | SearchRequest | RouteRequest)
    assert request.row.reference == "2"
    assert request.settings["seed"] == "3"
    assert request.settings["difficulty"] == 0.5
    if entrant is ROUTER:
        assert (made.recipe, made.models["reasoning"]) == ("route", "R")
    elif entrant is ONE:
        assert made.recipe == ("search" if prm else "generate")
        assert request.settings["n"] == 1
    else:
        assert (made.recipe, request.settings["n"]) == ("search", 6)


def test_one_worker_answers_all_that_a_prm_may_lead() -> None:
    play = Play("p", None, Models("P", "PRM"), Budgets(20, 10), ENTRANTS[:8])
    made = [asking(play, each) for each in play.entrants]
    assert {(each.recipe, *sorted(each.models.items()), *sorted(each.settings.items())) for each in made} == {
        ("search", ("model", "P"), ("prm", "PRM"))
    }
    assert [each.way for each in play.entrants] == list(Way)


def test_budgets_by_difficulty_and_by_hand() -> None:
    assert Budgets(50, 50, 1.0).grant == Grant(90, 10, 1.0, "hand")
    assert Budgets(50, 50, 0.0).grant == Grant(30, 70, 0.0, "hand")
    assert Budgets(7, 5).grant == Grant(7, 5, None, "hand")


def test_the_exact_checks_judge_what_stands_there() -> None:
    clean = judge("<think>\n1 + 1 = 2\n</think>\nAnswer: 2", (), "What is 1 + 1?")
    assert (clean.verdict, clean.findings) == (Verdict.ALLOW, ())
    differs = judge("<think>\n1 + 1 = 2\n</think>\nAnswer: 7", (), "What is 1 + 1?")
    assert differs.verdict is Verdict.REVIEW
    assert {finding.category for finding in differs.findings} == {Category.INCONSISTENCY}
    assert "1 flag" in differs.words


def test_a_text_that_grows_is_not_called_cut_off() -> None:
    text = "<think>\n1 + 1 = 2\nSo it is 2, as one and one make two, and nothing else is asked for"
    assert judge(text, (), "What is 1 + 1?").verdict is Verdict.NOT_ASSESSABLE
    growing = judge(text, (), "What is 1 + 1?", grows=True)
    assert (growing.verdict, growing.findings, growing.gap) == (Verdict.ALLOW, (), "")
