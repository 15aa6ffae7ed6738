"""A hard budget is never exceeded, whoever writes: three models, policies that mark their thinking and that do not.

Tokens are counted here from the text alone. In full 1,000 generations a model and way; the short form writes fewer, and
SmolLM2-135M is written with where STEPLENS_SMOLLM names its folder.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.contract.specs.generate import Marked, TellBudget
from trainer.models.answering import Asked, Writer, WrittenTrace
from trainer.models.asking import Manner
from trainer.models.language import Language
from trainer.models.policies import LoadedPolicy, load_policy
from trainer.models.tiny import make_tiny, make_tokenizer
from trainer.prompts import PromptSettings
from trainer.reasoning.budget import Grant, allocate
from trainer.reasoning.stories import make_stories
from trainer.reasoning.thinking import CLOSE

FULL = os.environ.get("STEPLENS_PROOF") == "full"
SMOLLM = os.environ.get("STEPLENS_SMOLLM", "")
MODELS = ("tiny", "5 M Llama", "SmolLM2-135M")
GENERATIONS = 1000 if FULL else 48
WAYS = {
    "by itself": Manner(temperature=1.0, top_p=1.0),
    "opened, told, made to go on": Manner(
        temperature=1.0, top_p=1.0, thinking=Marked.OPENED, tell_budget=TellBudget.ALWAYS, continuations=2
    ),
    "greedy, no grace": Manner(temperature=0.0, thinking=Marked.OPENED, grace=0.0),
}
BUDGETS = (Grant(0, 3), Grant(1, 1), Grant(17, 5), allocate(40, 0.0), allocate(40, 1.0))


def texts() -> list[str]:
    """Problems and responses that a tokenizer is made of."""
    return [f"{story.problem}\n<think>\n" + "\n".join(story.steps) + "\n</think>" for story in make_stories(60, seed=2)]


def loaded(name: str) -> LoadedPolicy:
    """The policy: untaught weights, made so that any token may come."""
    if name == "SmolLM2-135M":
        return load_policy(SMOLLM)
    if name == "tiny":
        tiny = make_tiny(texts(), 3)
        model, tokenizer = tiny.model, tiny.tokenizer
    else:
        tokenizer = make_tokenizer(texts())
        torch.manual_seed(4)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=256,
                intermediate_size=688,
                num_hidden_layers=6,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=1024,
            )
        )
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw) * 0.1)
    return LoadedPolicy(Language(model, PromptSettings()), tokenizer, name, taught=name == "tiny")


def counted(writer: Writer, written: WrittenTrace, given: str) -> tuple[int, int]:
    """Tokens of thinking and of answer, from the decoded text: what stands before the mark, and behind it.

    An empty line that is written for the policy behind the mark belongs to the mark.
    """
    ids = written.generated.ids.tolist()
    text = writer.tokens.of
    behind = next((k for k in range(len(ids) + 1) if CLOSE in given + text(ids[:k])), None)
    if behind is None:
        return len(ids), 0
    mark = next(k for k in range(behind, -1, -1) if CLOSE in text(ids[k:behind]))
    return mark, int((~written.generated.forced[behind:]).sum())


@pytest.mark.parametrize("name", MODELS)
def test_no_trace_exceeds_its_budget(name: str) -> None:
    if name == "SmolLM2-135M" and not (FULL and SMOLLM):
        pytest.skip("minutes, and a folder: STEPLENS_PROOF=full STEPLENS_SMOLLM=FOLDER")
    torch.set_num_threads(1)
    writer, ends = Writer(loaded(name), rows=100), Counter[str]()
    each = -(-GENERATIONS // len(BUDGETS) // len(WAYS))
    problems = [story.problem for story in make_stories(10, seed=9)]
    seen = 0
    for manner in WAYS.values():
        asks = [
            Asked(problems[k % 10], 100 * place + k, grant) for place, grant in enumerate(BUDGETS) for k in range(each)
        ]
        for asked, (written,) in zip(asks, writer.write(asks, manner=manner), strict=True):
            opening = writer.asking.opening(asked.problem, asked.grant, manner)
            budget = written.budget
            seen += 1
            ends[budget.thinking_ended or budget.ended] += 1
            if not opening.thinks:
                assert len(written.generated.ids) == budget.answer <= asked.grant.total
                continue
            thinking, answer = counted(writer, written, opening.text)
            assert (thinking, answer) == (budget.thinking, budget.answer)
            assert thinking <= asked.grant.thinking
            assert answer <= asked.grant.answer
            assert budget.used <= asked.grant.total
    assert seen >= GENERATIONS
    assert ends["forced"] > seen // 10, f"the cap was hardly ever needed: {ends}"


def test_a_tight_answer_ends_where_it_may_not_go_on() -> None:
    writer = Writer(loaded("tiny"), replace(WAYS["by itself"], grace=0.0))
    made = writer.write([Asked("Start with 3.", 1, Grant(6, 4), n=20)])[0]
    assert {written.budget.answer for written in made} == {4}
    assert {written.budget.ended for written in made} == {"budget"}
