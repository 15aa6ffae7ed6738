"""How a policy is asked: prompt, what is written of the response before the first draw, and the rule of its budget."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from trainer.contract.specs.generate import AskedAs, Marked, TellAnswer, TellBudget
from trainer.contract.specs.sft import PromptForm
from trainer.models.policies import LoadedPolicy
from trainer.models.sampling import BudgetRule
from trainer.prompts import Prompts
from trainer.reasoning.budget import BudgetReward, Grant, both_budgets_text
from trainer.reasoning.thinking import CLOSE, OPEN

OPENED = f"{OPEN}\n"  # what is written for a policy that does not mark its thinking
INSTRUCTION = 'End with "The answer is" and the final answer.'
AFTER_MARK = "\n\n"  # behind the mark that is written for a policy that was not taught it


class AskingError(ValueError):
    """Something that this policy cannot be asked; the message says what, why and what to do."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How traces are written; fields as in `trainer.contract.specs.generate`."""

    temperature: float = 0.7
    top_p: float = 0.95
    tell_budget: TellBudget = TellBudget.TAUGHT
    tell_answer: TellAnswer = TellAnswer.NOBODY
    thinking: Marked = Marked.TAUGHT
    prompt: AskedAs = AskedAs.TAUGHT
    grace: float = 0.05
    continuations: int = 0
    wait: str = "Wait"

    @classmethod
    def of(cls, spec: object) -> Manner:
        """What a recipe's dataclass says of it; the defaults where it says nothing."""
        return cls(**{each.name: getattr(spec, each.name) for each in fields(cls) if hasattr(spec, each.name)})


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a response begins.

    `text` is all that stands of it before the first draw, `given` its tokens (a template's opening mark stands in
    `prompt` alone), of which the first `marks` were written for the policy. `thinks`: thinking is marked off.
    """

    prompt: tuple[int, ...]
    given: tuple[int, ...]
    text: str
    marks: int
    thinks: bool
    rule: BudgetRule

    @property
    def ids(self) -> tuple[int, ...]:
        """All that is read before the first draw."""
        return self.prompt + self.given


class Asking:
    """Openings for one policy."""

    def __init__(self, policy: LoadedPolicy) -> None:
        self._policy, self._tokenizer = policy, policy.tokenizer
        self._prompts: dict[PromptForm, Prompts] = {}

    @property
    def marks_thinking(self) -> bool:
        """Whether the policy marks its thinking by itself: it was taught here, or its template or a token says so."""
        template = self._tokenizer.chat_template
        known: Any = self._tokenizer.get_added_vocab()
        return self._policy.taught or CLOSE in known or (isinstance(template, str) and CLOSE in template)

    def opening(self, problem: str, grant: Grant, manner: Manner, prefix: str = "") -> Opening:
        """For a problem and the beginning of its response. Raises AskingError, PromptError."""
        prompts = self._prompts_for(manner)
        prompt, begun = self._prompt(prompts, problem, grant, manner)
        thinks = manner.thinking is not Marked.NOT and (manner.thinking is Marked.OPENED or self.marks_thinking)
        written = prefix.removeprefix(begun)
        opened = ""
        if thinks and manner.thinking is Marked.OPENED and not begun and CLOSE not in prefix:
            opened = "" if prefix.lstrip().startswith(OPEN) else OPENED
        given = prompts.plain_ids(opened + written) if opened + written else []
        marks = len(prompts.plain_ids(opened)) if opened else 0
        text = begun + opened + written
        rule = self._rule(prompts, grant, manner, text[len(begun + opened) :], thinks)
        return Opening(tuple(prompt), tuple(given), text, marks, thinks, rule)

    def _prompts_for(self, manner: Manner) -> Prompts:
        settings = self._policy.language.settings
        form = settings.prompt
        if manner.prompt is AskedAs.CHAT or (
            manner.prompt is AskedAs.TAUGHT and not self._policy.taught and self._tokenizer.chat_template
        ):
            form = PromptForm.CHAT
        elif manner.prompt is AskedAs.PLAIN:
            form = PromptForm.PLAIN
        if form not in self._prompts:
            self._prompts[form] = Prompts(self._tokenizer, replace(settings, prompt=form))
        return self._prompts[form]

    def _prompt(self, prompts: Prompts, problem: str, grant: Grant, manner: Manner) -> tuple[list[int], str]:
        """The prompt's ids, and what its template has written of the response."""
        taught = prompts.settings.budget is not BudgetReward.NONE
        said = grant.thinking if taught and grant.thinking and manner.tell_budget is not TellBudget.NEVER else None
        if manner.tell_budget is TellBudget.ALWAYS and not taught:
            problem = f"{problem.rstrip()} {both_budgets_text(grant)}"
        if manner.tell_answer is TellAnswer.STRANGERS and not self._policy.taught and "\\boxed" not in problem:
            problem = f"{problem.rstrip()}\n\n{INSTRUCTION}"
        text = prompts.text_of(problem, said)
        body = text.rstrip()
        begun = text[len(body) - len(OPEN) :] if body.endswith(OPEN) else ""
        return prompts.ids_of(problem, said), begun

    def _rule(self, prompts: Prompts, grant: Grant, manner: Manner, written: str, thinks: bool) -> BudgetRule:
        if not thinks:
            used = _within(len(prompts.plain_ids(written)) if written else 0, grant.total)
            return BudgetRule(answer=grant.total, thinking_over=True, answer_used=used)
        before, mark, after = written.partition(CLOSE)
        if manner.thinking is Marked.OPENED:
            before = before.removeprefix(OPENED)  # marks that are written for the policy count in no budget
        thought = len(prompts.plain_ids(before)) if before else 0
        own = self.marks_thinking
        return BudgetRule(
            thinking=grant.thinking,
            answer=grant.answer,
            grace=manner.grace,
            forced=CLOSE if own else CLOSE + AFTER_MARK,
            continuations=manner.continuations,
            wait=manner.wait,
            close_at_stop=not own,
            thinking_over=bool(mark),
            thinking_used=thought,
            answer_used=_within(len(prompts.plain_ids(after)), grant.answer) if after else 0,
        )


def _within(used: int, granted: int) -> int:
    """Answer tokens that a prefix holds, if there is room for more."""
    if used >= granted:
        raise AskingError(
            f"the text to continue holds {used} tokens of answer already, the budget is {granted}; raise it"
        )
    return used
