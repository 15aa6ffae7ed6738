"""Prompts and demonstrations: what is taught is what is asked, nothing is lost without being counted."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trainer.contract.records import InputRow, Votes
from trainer.contract.spec import PromptForm
from trainer.models.tiny import make_tokenizer
from trainer.prompts import (
    Demonstration,
    DemonstrationCounts,
    Demonstrator,
    PromptError,
    Prompts,
    PromptSettings,
    packed,
    packed_passes,
    response_of,
)
from trainer.reasoning.budget import BudgetReward
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations

ROWS = [demonstration_row(made, number) for number, made in enumerate(make_demonstrations(60, seed=2))]
TOKENIZER = make_tokenizer(text for row in ROWS for text in (row.problem, row.response, "Think for at most 7 tokens."))
CHAT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"
)


def make(rows: list[InputRow], settings: PromptSettings | None = None, max_length: int = 128, **changes: object):
    counts = DemonstrationCounts()
    given = {"drop_rated_wrong": True, "drop_cut": False, "seed": 3} | changes
    prompts = Prompts(TOKENIZER, settings or PromptSettings())
    return Demonstrator(prompts, max_length, **given).make(rows, counts), counts, prompts


def row_of(response: str | None, votes: tuple[Votes | None, ...] | None = None, **changes: object) -> InputRow:
    given = {
        "id": "r",
        "trace": "r",
        "segmentation": 1,
        "problem": "Start with 1.",
        "steps": ("1 + 1 = 2", "Answer: 2"),
    }
    return InputRow(**(given | {"step_ids": (1, 2), "response": response, "votes": votes} | changes))


def test_the_prompt_taught_is_the_prompt_asked_and_the_completion_ends():
    made, counts, prompts = make(ROWS)
    for row, one in zip(ROWS, made, strict=True):
        asked = prompts.ids_of(row.problem)
        assert one.ids[: one.prompt].tolist() == asked
        assert TOKENIZER.decode(asked) == row.problem + "\n"
        assert TOKENIZER.decode(one.ids[one.prompt : -1]) == row.response
        assert one.ids[-1] == TOKENIZER.eos_token_id
        assert one.learned == one.length - len(asked)
    assert (counts.tokens, counts.tokens_learned) == (sum(len(o.ids) for o in made), sum(o.learned for o in made))


def test_a_chat_template_puts_the_problem():
    tokenizer = make_tokenizer(["[user]Start with 1.[a]"])
    settings = PromptSettings(PromptForm.CHAT)
    with pytest.raises(PromptError, match="no chat template"):
        Prompts(tokenizer, settings)
    tokenizer.chat_template = CHAT
    prompts = Prompts(tokenizer, settings)
    assert tokenizer.decode(prompts.ids_of("Start with 1.")) == "[user]Start with 1.[a]"
    tokenizer.eos_token = None
    with pytest.raises(PromptError, match="learn to stop"):
        Prompts(tokenizer, settings)


def test_the_exact_budget_is_what_the_decoder_counts_as_thinking():
    made, _, prompts = make(ROWS, PromptSettings(budget=BudgetReward.EXACT))
    for row, one in zip(ROWS, made, strict=True):
        before = row.response.split("</think>")[0]
        asked = TOKENIZER.decode(one.ids[: one.prompt])
        assert asked == f"{row.problem} Think for {len(prompts.plain_ids(before))} tokens.\n"


def test_the_greatest_budget_lies_between_the_length_and_its_double_and_is_drawn_once():
    settings = PromptSettings(budget=BudgetReward.MAX)
    shares = []
    first, _, prompts = make(ROWS, settings)
    for row, one, again in zip(ROWS, first, make(ROWS[::-1], settings)[0][::-1], strict=True):
        before = len(prompts.plain_ids(row.response.split("</think>")[0]))
        said = int(TOKENIZER.decode(one.ids[: one.prompt]).split("at most ")[1].split(" ")[0])
        assert before <= said <= 2 * before
        assert again.ids.tolist() == one.ids.tolist()
        shares.append(said / before)
    assert max(shares) - min(shares) > 0.5


def test_a_budget_without_thinking_is_not_said_and_counted():
    made, counts, _ = make([row_of("1 + 1 = 2")], PromptSettings(budget=BudgetReward.EXACT))
    assert counts.rows_without_thinking == 1
    assert "Think" not in TOKENIZER.decode(made[0].ids)


def test_a_budget_is_not_said_to_a_policy_that_never_learned_any():
    assert "Think" not in Prompts(TOKENIZER, PromptSettings()).text_of("Start with 1.", 7)


def test_everything_lost_is_counted():
    wrong = (Votes(positive=1), Votes(negative=2, positive=1))
    even = (Votes(negative=1, positive=1), None)
    rows = [row_of(None), row_of("x", wrong), row_of("x", even), row_of("  \n"), row_of("1 + 1 = 2 " * 50)]
    rows.append(row_of("Answer: 2", problem="Add 1. " * 90))
    made, c, _ = make(rows, max_length=40)
    assert (c.rows, c.rows_rated_wrong, c.rows_without_response, c.rows_cut, c.rows_without_completion) == (
        6,
        1,
        1,
        2,
        1,
    )
    assert len(made) == 3
    assert len(made[2].ids) == 40
    assert made[2].ids[-1] != TOKENIZER.eos_token_id
    whole = make(rows[4:5], max_length=10_000)[0][0]
    assert c.tokens_cut == len(whole.ids) - 40 + len(make(rows[5:], max_length=10_000)[0][0].ids) - 40
    made, c, _ = make(rows, max_length=40, drop_cut=True, drop_rated_wrong=False)
    assert (len(made), c.rows_rated_wrong, c.rows_cut, c.rows_without_completion) == (3, 0, 2, 0)


def test_without_a_response_the_steps_are_the_response():
    assert response_of(row_of(None)) == "1 + 1 = 2\nAnswer: 2"


def test_settings_survive_a_config():
    settings = PromptSettings(PromptForm.CHAT, BudgetReward.MAX)
    assert PromptSettings.read(settings.as_dict()) == settings
    assert PromptSettings.read(None) == PromptSettings()


@pytest.mark.parametrize("seed", range(20))
def test_lines_hold_every_row_once_and_no_more_than_they_can(seed: int):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 50) for _ in range(draw.randint(1, 60))]
    lines = packed(lengths, 50)
    assert sorted(index for line in lines for index in line) == list(range(len(lengths)))
    fills = [sum(lengths[index] for index in line) for line in lines]
    assert max(fills) <= 50
    # best fit decreasing leaves at most one line half empty, and needs at most 11/9 of the best possible plus 6/9
    assert sum(fill <= 25 for fill in fills) <= 1
    assert len(lines) <= 11 / 9 * max(1, -(-sum(lengths) // 50)) + 6 / 9 + sum(length > 25 for length in lengths)


def test_best_fit_takes_the_fullest_line_that_still_has_room():
    assert packed([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def test_passes_keep_to_rows_and_tokens():
    draw = random.Random(1)
    rows = [Demonstration(ROWS[0], np.arange(draw.randint(5, 60)), 2) for _ in range(64)]
    width = max(row.length for row in rows)
    for most, budget in ((64, None), (8, None), (64, 256), (5, 200), (1, None)):
        passes = packed_passes(rows, most, budget)
        assert sorted(id(row) for part in passes for row in part) == sorted(id(row) for row in rows)
        assert all(0 < len(part) <= most for part in passes)
        if budget:
            assert all(len(packed([row.length for row in part], width)) * width <= budget for part in passes)
    assert len(packed_passes(rows, 64, None)) == 1
