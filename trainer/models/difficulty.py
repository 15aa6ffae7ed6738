"""How difficult a problem is, as the policy itself has it: a number it is asked for, else how unsure it is at first.

Neither is calibrated: it is the policy's own view, and `by` says which of the two it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from trainer.contract.specs.generate import TellAnswer
from trainer.models.asking import Asking, Manner
from trainer.models.generate import Decoder, PromptError
from trainer.models.policies import LoadedPolicy
from trainer.models.sampling import Sampling
from trainer.reasoning.budget import Grant

QUESTION = "How hard is this problem, from 0 (at once) to 9 (very hard)? Reply with one digit.\n\nProblem: {}\n\nDigit:"
SAYS = 0.5  # P(some digit) from which the policy's number counts
PROBE = 24  # tokens
BY_NUMBER = "policy: the number it gives"
BY_ENTROPY = "policy: its first tokens' entropy"


@dataclass(frozen=True, slots=True)
class Judged:
    """A difficulty in [0, 1] and who said so."""

    difficulty: float
    by: str


class OwnJudge:
    """The policy judges the problems that it is to answer."""

    def __init__(self, policy: LoadedPolicy, decoder: Decoder, asking: Asking) -> None:
        self._policy, self._decoder, self._asking = policy, decoder, asking
        self._digits = [ids[0] for n in range(10) if len(ids := _plain(policy, str(n))) == 1]

    def judge(
        self, problems: Sequence[str], manner: Manner, check: Callable[[], None] = lambda: None
    ) -> list[Judged | None]:
        """A difficulty of each, None for one that the policy cannot read.

        The mean digit by its own probabilities, over 9, where it would say a digit; else 1 - exp(-H), H the mean
        entropy in nats of the first tokens that it writes, the likeliest at each place.
        """
        found = [self._asked(problem, manner, check) for problem in problems]
        unsaid = [place for place, one in enumerate(found) if one is None]
        if unsaid:
            nothing = Grant(PROBE, PROBE)
            openings = {place: self._asking.opening(problems[place], nothing, manner).ids for place in unsaid}
            unsaid = [place for place in unsaid if self._reads(openings[place])]
            prompts = [openings[place] for place in unsaid]
            made = self._decoder.generate(prompts, Sampling(temperature=0.0, max_new_tokens=PROBE), check=check)
            for place, (one,) in zip(unsaid, made, strict=True):
                found[place] = Judged(-math.expm1(-float(one.entropy.mean())), BY_ENTROPY)
        return found

    def _reads(self, ids: Sequence[int]) -> bool:
        """Whether these fit into what the policy reads."""
        try:
            self._decoder.prefix(ids)
        except PromptError:
            return False
        return True

    def _asked(self, problem: str, manner: Manner, check: Callable[[], None]) -> Judged | None:
        """By the digit; None for a policy that would say none."""
        if len(self._digits) < 10:
            return None
        check()
        said = self._asking.opening(
            QUESTION.format(problem), Grant(0, 1), replace(manner, tell_answer=TellAnswer.NOBODY)
        )
        if not self._reads(said.prompt):
            return None
        language = self._policy.language
        ids = torch.tensor([said.prompt], device=language.device)
        with torch.inference_mode():
            logits = language.model(input_ids=ids, use_cache=False).logits[0, -1].float()
        shares = logits.softmax(-1)[self._digits].double()
        total = float(shares.sum())
        if total < SAYS:
            return None
        mean = float((shares * torch.arange(10, device=shares.device)).sum()) / total
        return Judged(min(mean / 9, 1.0), BY_NUMBER)


def _plain(policy: LoadedPolicy, text: str) -> list[int]:
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
