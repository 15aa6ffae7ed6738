"""A policy answers: budgets by difficulty, prompts that state them, prefixes, single steps, offsets, what is told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.trainer.decoding import greedy
from trainer.contract.specs.evaluate import EvaluateSpec
from trainer.contract.specs.generate import AskedAs, DifficultyBy, GenerateSpec, Marked, TellAnswer, TellBudget
from trainer.contract.specs.search import SearchSpec
from trainer.models.answering import Asked, Told, Writer, WrittenTrace
from trainer.models.asking import INSTRUCTION, AskingError, Manner
from trainer.models.difficulty import BY_ENTROPY, BY_NUMBER, PROBE, QUESTION, OwnJudge
from trainer.models.language import Language
from trainer.models.policies import LoadedPolicy
from trainer.models.tiny import make_tiny
from trainer.models.unfolding import TokenText
from trainer.models.writers import Granter
from trainer.prompts import PromptSettings
from trainer.reasoning.budget import BudgetReward, Grant, allocate
from trainer.runtime.worker import RunFailed

TEXTS = ["<think>\nStart with 32. 32 + 7 = 39\n</think>\nAnswer: 39 é漢"] * 5
HOT = Manner(temperature=1.0, top_p=1.0)
OPENED = replace(HOT, thinking=Marked.OPENED)
PROBLEM = "Start with 3. Add 4."


def make_policy(*, taught: bool = True, settings: PromptSettings | None = None, noise: float = 0.3) -> LoadedPolicy:
    """A tiny policy whose weights are noise: it writes any token."""
    tiny = make_tiny(TEXTS, 1, hidden=32, layers=2, heads=4)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in tiny.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw) * noise)
    return LoadedPolicy(Language(tiny.model, settings or PromptSettings()), tiny.tokenizer, "tiny", taught)


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(make_policy(), HOT)


@pytest.fixture(scope="module")
def stranger() -> Writer:
    """A policy that was made elsewhere and marks no thinking."""
    return Writer(make_policy(taught=False), OPENED)


class Ear:
    """Puts together what is told."""

    def __init__(self) -> None:
        self.texts: dict[tuple[int, int], str] = {}
        self.starts: dict[tuple[int, int], list[int]] = {}
        self.done: set[tuple[int, int]] = set()
        self.taken_back = 0

    def __call__(self, told: list[Told]) -> None:
        for one in told:
            at = (one.ask, one.trace)
            text, starts = self.texts.get(at, ""), self.starts.setdefault(at, [])
            self.taken_back += one.taken_back
            del starts[len(starts) - one.taken_back :]
            self.texts[at] = text[: len(text) - one.dropped] + one.text
            starts.extend(one.starts)
            assert len(one.starts) == len(one.logprobs) == len(one.entropy)
            if one.done:
                self.done.add(at)


def arrays(written: WrittenTrace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, log-probs, and which tokens were forced."""
    tokens = written.tokens
    return (
        np.frombuffer(tokens.starts, "<u4"),
        np.frombuffer(tokens.logprobs, "<f4"),
        np.frombuffer(tokens.forced, "u1"),
    )


def drawn_text(writer: Writer, written: WrittenTrace) -> list[int]:
    """The drawn tokens without the one that ended the text."""
    ids = written.generated.ids.tolist()
    return ids[:-1] if ids[-1] in writer.decoder.stop_ids else ids


@pytest.mark.parametrize("difficulty", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 2, 10, 4096])
def test_difficulty_splits_the_total(total: int, difficulty: float) -> None:
    grant = allocate(total, difficulty)
    assert grant.total == total
    assert grant.thinking == min(round(total * (0.3 + 0.6 * difficulty)), total - 1)
    assert (grant.difficulty, grant.by) == (difficulty, "hand")


def test_a_grant_that_cannot_be_is_refused() -> None:
    for total, difficulty in ((0, 0.5), (10, 1.01), (10, -0.5)):
        with pytest.raises(ValueError, match="tokens by a difficulty"):
            allocate(total, difficulty)
    with pytest.raises(ValueError, match="at least 0 and 1"):
        Grant(5, 0)


@pytest.mark.parametrize("manner", [HOT, replace(HOT, grace=1.0, continuations=1), OPENED])
def test_what_is_told_puts_together_to_what_is_returned(writer: Writer, manner: Manner) -> None:
    ear = Ear()
    asks = [Asked(PROBLEM, 7, Grant(30, 12), n=6), Asked("q", 8, Grant(9, 5), n=3, next_step=True)]
    made = writer.write(asks, on_text=ear, manner=manner)
    for place, of in enumerate(made):
        for number, written in enumerate(of):
            assert ear.texts[place, number] == written.text
            starts, logprobs, forced = arrays(written)
            assert len(starts) == len(logprobs) == len(forced)
            assert ear.starts[place, number] == starts[len(starts) - len(ear.starts[place, number]) :].tolist()
    assert ear.done == {(place, n) for place, asked in enumerate(asks) for n in range(asked.n)}
    assert bool(ear.taken_back) == bool(manner.continuations)
    assert any(written.budget.continued for of in made for written in of) == bool(manner.continuations)


def test_a_token_begins_where_the_text_before_it_ends(writer: Writer) -> None:
    made = writer.write([Asked(PROBLEM, 3, Grant(60, 40), n=8)])[0]
    split = 0
    for written in made:
        ids = drawn_text(writer, written)
        starts = arrays(written)[0].tolist()
        for k, start in enumerate(starts):
            before = writer.tokens.of(ids[:k])
            assert start == len(before.rstrip("\ufffd"))
        split += len(set(starts)) < len(starts)
    assert split, "no character was spread over two tokens: it proves nothing"


def test_offsets_hold_for_a_tokenizer_whose_words_carry_their_space() -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    learn = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", *(f"<0x{n:02X}>" for n in range(256))], show_progress=False
    )
    tokenizer.train_from_iterator(["two and two are four"] * 4, learn)
    tokens = TokenText(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    ids = tokenizer.encode("two é are 漢 two").ids
    text, starts = tokens.laid_out(ids)
    assert text == "two é are 漢 two"
    whole = [len(tokens.of(ids[:k]).rstrip("\ufffd")) for k in range(len(ids))]
    assert starts == whole
    for cut in range(1, len(ids)):
        begun = tokens.of(ids[:cut])
        if not begun.endswith("\ufffd"):
            more, where = tokens.laid_out(ids[cut:], ids[:cut], begun)
            assert begun + more == text
            assert where == starts[cut:]


def test_a_trace_depends_on_its_seed_alone(writer: Writer) -> None:
    asks = [Asked(PROBLEM, 5, Grant(20, 8), n=4), Asked("other", 6, Grant(14, 9), n=3)]
    together = writer.write(asks)
    for asked, made in zip(asks, together, strict=True):
        (alone,) = writer.write([asked])
        (rest,) = writer.write([replace(asked, first=2)])
        (more,) = writer.write([replace(asked, n=asked.n + 2)])
        for others in (alone, more[: asked.n]):
            assert [one.text for one in others] == [one.text for one in made]
        assert [one.text for one in rest] == [one.text for one in made[2:]]
    assert len({one.text for of in together for one in of}) == 7
    assert writer.write([replace(asks[0], seed=9)])[0][0].text != together[0][0].text


def test_a_prefix_is_continued_and_counted(writer: Writer) -> None:
    prefix = "<think>\n3 + 4 = 7\n"
    given = writer.policy.prompts.plain_ids(prefix)
    cold = replace(HOT, temperature=0.0, grace=0.0)
    asked = Asked(PROBLEM, 1, Grant(len(given) + 6, 5), prefix=prefix)
    (written,) = writer.write([asked], manner=cold)[0]
    prompt = writer.policy.prompts.ids_of(PROBLEM)
    assert written.text.startswith(prefix)
    free = greedy(writer.policy.language.model, prompt + given, 6)
    assert written.generated.ids[:6].tolist() == free
    assert written.budget.thinking == len(given) + 6
    assert written.budget.thinking_ended == "forced"
    starts, logprobs, _ = arrays(written)
    assert np.isnan(logprobs[: len(given)]).all()
    assert not np.isnan(logprobs[len(given) :]).any()
    assert starts[len(given)] == len(prefix)
    answering = replace(asked, prefix=prefix + "</think>\nAnswer")
    (written,) = writer.write([answering], manner=cold)[0]
    used = len(writer.policy.prompts.plain_ids("\nAnswer"))
    assert (written.budget.thinking, written.budget.thinking_ended) == (len(given), "before")
    assert written.budget.answer <= 5
    assert written.generated.answer_tokens == written.budget.answer - used
    with pytest.raises(AskingError, match="tokens of answer already, the budget is 2"):
        writer.write([replace(answering, grant=Grant(5, 2))])
    assert "raise it" in writer.objection(replace(answering, grant=Grant(5, 2)))
    assert "shorten it" in writer.objection(replace(asked, problem="7 " * 5000))


def test_a_next_step_is_one_line(writer: Writer) -> None:
    made = writer.write([Asked(PROBLEM, 4, Grant(60, 10), n=30, prefix="<think>\n", next_step=True)])[0]
    ends = {written.budget.ended for written in made}
    assert "text" in ends
    for written in made:
        new = written.text.removeprefix("<think>\n")
        if written.budget.ended == "text" and "</think>" not in new:
            assert new.endswith("\n")
            assert len(new.strip().splitlines()) == 1 or "\x0b" in new or "\x0c" in new or "\x1c" in new


def test_thinking_is_opened_for_a_policy_that_marks_none_and_ends_with_its_text(stranger: Writer) -> None:
    """Its end of text within the thinking is taken back, the mark is written, and it answers (s1)."""
    made = stranger.write([Asked(PROBLEM, 2, Grant(200, 6), n=20)])[0]
    ends = [written.budget.thinking_ended for written in made]
    assert "stopped" in ends
    assert "open" not in ends
    for written in made:
        assert written.text.startswith("<think>\n")
        assert written.response.thinking is not None
        if written.budget.thinking_ended == "stopped":
            assert "</think>\n\n" in written.text
        forced = arrays(written)[2]
        assert forced[: len(stranger.policy.prompts.plain_ids("<think>\n"))].all()
        assert written.budget.thinking <= 200
    again = stranger.write([Asked(PROBLEM, 2, Grant(200, 6), n=20)], manner=replace(OPENED, continuations=2))[0]
    assert any(one.budget.continued for one in again)
    alone = stranger.write([Asked(PROBLEM, 2, Grant(20, 6), n=3)], manner=HOT)[0]
    for written in alone:
        assert written.response.thinking is None
        assert (written.budget.thinking, written.budget.thinking_granted, written.budget.answer_granted) == (0, 0, 26)
        assert written.budget.answer <= 26


@pytest.mark.parametrize("next_step", [False, True])
def test_tokens_that_are_taken_back_are_booked_too(stranger: Writer, next_step: bool) -> None:
    before = stranger.decoder.tokens_drawn
    asked = Asked(PROBLEM, 2, Grant(200, 6), n=20, next_step=next_step)
    made = stranger.write([asked], manner=replace(OPENED, continuations=2))[0]
    kept = sum(len(written.generated.ids) for written in made)
    assert sum(written.budget.drawn or 0 for written in made) == stranger.decoder.tokens_drawn - before
    assert stranger.decoder.tokens_drawn - before > kept, "nothing was taken back"


def prompt_of(writer: Writer, grant: Grant, manner: Manner) -> str:
    """What the policy reads."""
    return writer.tokens.of(writer.asking.opening(PROBLEM, grant, manner).prompt)


def test_prompts_state_the_budgets_in_the_words_that_were_taught() -> None:
    grant, plain = Grant(40, 9), Writer(make_policy())
    assert prompt_of(plain, grant, Manner()) == f"{PROBLEM}\n"
    always = Manner(tell_budget=TellBudget.ALWAYS)
    told = f"{PROBLEM} Think for at most 40 tokens, then answer in at most 9 tokens.\n"
    assert prompt_of(plain, grant, always) == told
    assert "Answer at once, in at most 1 token." in prompt_of(plain, Grant(0, 1), always)
    for form, words in ((BudgetReward.EXACT, "Think for 40 tokens."), (BudgetReward.MAX, "Think for at most 40")):
        taught = Writer(make_policy(settings=PromptSettings(budget=form)))
        for manner in (Manner(), always):
            assert words in prompt_of(taught, grant, manner)
            assert "then answer" not in prompt_of(taught, grant, manner)
        assert prompt_of(taught, grant, Manner(tell_budget=TellBudget.NEVER)) == f"{PROBLEM}\n"


def test_a_policy_made_elsewhere_is_told_where_to_put_its_answer(writer: Writer, stranger: Writer) -> None:
    grant, told = Grant(40, 9), replace(HOT, tell_answer=TellAnswer.STRANGERS)
    assert prompt_of(writer, grant, told) == prompt_of(stranger, grant, HOT) == f"{PROBLEM}\n"
    assert prompt_of(stranger, grant, told) == f"{PROBLEM}\n\n{INSTRUCTION}\n"
    both = prompt_of(stranger, grant, replace(told, tell_budget=TellBudget.ALWAYS))
    assert both.index("answer in at most 9 tokens.") < both.index(INSTRUCTION)
    asked = f"{PROBLEM} Answer in \\boxed{{}}."
    assert stranger.asking.opening(asked, grant, told) == stranger.asking.opening(asked, grant, HOT)
    assert Manner.of(GenerateSpec()).tell_answer is Manner.of(SearchSpec()).tell_answer is TellAnswer.STRANGERS
    assert Manner.of(EvaluateSpec()).tell_answer is TellAnswer.NOBODY, "a suite has an instruction of its own"


def test_a_template_that_opens_the_thinking_is_part_of_the_text() -> None:
    policy = make_policy(taught=False)
    policy.tokenizer.chat_template = "Q: {{ messages[0]['content'] }}\nA: <think>\n"
    writer = Writer(policy, HOT)
    assert prompt_of(writer, Grant(5, 5), HOT).startswith("Q: ")
    assert prompt_of(writer, Grant(5, 5), replace(HOT, prompt=AskedAs.PLAIN)) == f"{PROBLEM}\n"
    ear = Ear()
    (written,) = writer.write([Asked(PROBLEM, 1, Grant(12, 5), prefix="<think>\n3")], on_text=ear)[0]
    assert written.text == ear.texts[0, 0]
    assert written.text.startswith("<think>\n3")
    assert written.response.thinking is not None
    assert written.budget.thinking <= 12
    opening = writer.asking.opening(PROBLEM, Grant(12, 5), HOT, "<think>\n3")
    assert writer.tokens.of(opening.ids).endswith("A: <think>\n3")


def test_a_policy_that_says_a_number_is_taken_at_its_word() -> None:
    policy = make_policy()
    writer = Writer(policy, HOT)
    model = policy.language.model
    prompt = writer.asking.opening(QUESTION.format(PROBLEM), Grant(0, 1), HOT).prompt
    digits = [policy.tokenizer(str(n), add_special_tokens=False)["input_ids"] for n in range(10)]
    assert {len(ids) for ids in digits} == {1}
    with torch.no_grad():
        state = model.model(torch.tensor([prompt])).last_hidden_state[0, -1]
        head = torch.zeros_like(model.lm_head.weight)
        for n, (token,) in enumerate(digits):
            head[token] = (20 + 0.3 * n) * state / state.square().sum()
        model.lm_head.weight = torch.nn.Parameter(head, requires_grad=False)
    (judged,) = OwnJudge(policy, writer.decoder, writer.asking).judge([PROBLEM], HOT)
    weights = [math.exp(0.3 * n) for n in range(10)]
    expected = sum(n * weight for n, weight in enumerate(weights)) / sum(weights) / 9
    assert judged is not None
    assert judged.by == BY_NUMBER
    assert judged.difficulty == pytest.approx(expected, abs=1e-4)


def test_else_its_entropy_over_what_it_would_write_counts(writer: Writer) -> None:
    policy = writer.policy
    judged = OwnJudge(policy, writer.decoder, writer.asking).judge([PROBLEM, "other"], HOT)
    for problem, one in zip([PROBLEM, "other"], judged, strict=True):
        prompt = policy.prompts.ids_of(problem)
        ids = greedy(policy.language.model, prompt, PROBE)
        with torch.no_grad():
            logits = policy.language.model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        shares = logits.double().softmax(-1)
        entropy = -(shares * shares.log()).sum(-1).mean()
        assert one is not None
        assert one.by == BY_ENTROPY
        assert one.difficulty == pytest.approx(1 - math.exp(-float(entropy)), abs=1e-4)


def test_budgets_are_granted_by_hand_by_a_classifier_or_by_the_policy(writer: Writer) -> None:
    granter = Granter(writer, lambda problems: [0.0 if "easy" in problem else 2.0 for problem in problems])
    asked = {"thinking": 60, "answer": 40}
    assert granter.grants(["a"], **asked) == [Grant(60, 40, None, "hand")]
    assert granter.grants(["a", "b"], **asked, difficulty=0.5) == [Grant(60, 40, 0.5, "hand")] * 2
    by = DifficultyBy.CLASSIFIER
    assert granter.grants(["easy", "hard"], **asked, by=by) == [
        Grant(30, 70, 0.0, "classifier"),
        Grant(90, 10, 1.0, "classifier"),
    ]
    (own,) = granter.grants(["a"], **asked, by=DifficultyBy.POLICY)
    assert own.total == 100
    assert own.thinking == round(100 * (0.3 + 0.6 * (own.difficulty or 0.0)))
    with pytest.raises(RunFailed, match="no difficulty classifier chosen"):
        Granter(writer).grants(["a"], **asked, by=by)
