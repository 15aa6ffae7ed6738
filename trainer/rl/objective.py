"""The policy update as an objective of the Learner: what a batch of rollouts teaches a policy, and PPO's value head."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.contract.specs.rl import Algorithm, KlPlace, RlSpec
from trainer.models.language import Language
from trainer.models.learn import Pass
from trainer.rl.advantages import padded
from trainer.rl.logprobs import LogProbs, head_of, sequence_logprobs
from trainer.rl.losses import Clip, Counts, kl, kl_by_token, policy_loss, value_loss

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRow:
    """A trace that teaches: `ids` of prompt and response, and arrays over the response's T tokens.

    `learned` tokens count (not those that a budget wrote); `old` are log-probs of the policy that wrote them.
    `reference` are those of the reference policy, `values` and `returns` PPO's; None where not used.
    """

    ids: Ints
    prompt: int
    learned: NDArray[np.bool_]
    old: Floats
    advantages: Floats
    reference: Floats | None = None
    values: Floats | None = None
    returns: Floats | None = None

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows laid side by side, right-padded: every tensor [B, L]; what is over the response stands at its tokens."""

    ids: Tensor
    mask: Tensor
    old: Tensor
    advantages: Tensor
    reference: Tensor | None
    values: Tensor | None
    returns: Tensor | None


class ValueHead(nn.Module):
    """V(prefix) from the policy's last hidden states; begins at 0 everywhere."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Values [...] of states [..., hidden]."""
        return self.linear(states.float()).squeeze(-1)


class Learning(nn.Module):
    """All that an RL run trains: the policy and, for PPO, its value head."""

    def __init__(self, policy: Language, *, with_value: bool) -> None:
        super().__init__()
        self.policy = policy
        self.value = ValueHead(int(head_of(policy.model).weight.shape[1])) if with_value else None

    def read(self, ids: Tensor, mask: Tensor, temperature: float) -> tuple[LogProbs, Tensor | None]:
        """Log-probs and entropy of the masked tokens [B, L], and V before each of them [B, L] where there is a head."""
        states = self.policy.body(input_ids=ids, use_cache=False).last_hidden_state
        found = sequence_logprobs(states, head_of(self.policy.model), ids, mask, temperature=temperature)
        if self.value is None:
            return found, None
        before = torch.zeros(ids.shape, dtype=torch.float32, device=ids.device)
        before[:, 1:] = self.value(states[:, :-1])
        return found, before


def laid(rows: Sequence[PolicyRow], device: torch.device | str = "cpu") -> RowBatch:
    """Rows to a batch."""

    def over(values: Sequence[NDArray[np.generic]], dtype: torch.dtype = torch.float32) -> Tensor:
        whole = [np.concatenate([np.zeros(row.prompt), np.asarray(v)]) for row, v in zip(rows, values, strict=True)]
        return padded(whole, dtype=dtype).to(device)

    def some(values: Sequence[Floats | None]) -> Tensor | None:
        there = [value for value in values if value is not None]
        return over(there) if len(there) == len(values) else None

    return RowBatch(
        ids=padded([row.ids for row in rows], dtype=torch.long).to(device),
        mask=over([row.learned for row in rows]),
        old=over([row.old for row in rows]),
        advantages=over([row.advantages for row in rows]),
        reference=some([row.reference for row in rows]),
        values=some([row.values for row in rows]),
        returns=some([row.returns for row in rows]),
    )


class PolicyObjective:
    """The clipped policy loss of a batch of rollouts, with what a KL term and a value head add.

    `sums` gathers what the metrics tell of the step that is going on: reset it before, read it after.
    """

    def __init__(self, learning: Learning, spec: RlSpec, longest: int) -> None:
        self._learning, self._spec, self._longest = learning, spec, longest
        self._clip = Clip(spec.clip_low, spec.clip_high)
        self.sums: defaultdict[str, float] = defaultdict(float)

    def totals(self, rows: Sequence[PolicyRow]) -> tuple[float, ...]:
        """Tokens learned, traces."""
        return float(sum(int(row.learned.sum()) for row in rows)), float(len(rows))

    def passed(self, rows: Sequence[PolicyRow], totals: Sequence[float]) -> Pass:
        """These rows' share of the batch's loss."""
        spec, batch = self._spec, laid(rows, self._learning.policy.device)
        counts = Counts(int(totals[1]), int(totals[0]), self._longest)
        found, values = self._learning.read(batch.ids, batch.mask, spec.temperature)
        policy = policy_loss(
            found.logprobs,
            batch.old,
            batch.advantages,
            batch.mask,
            algorithm=spec.algorithm,
            counts=counts,
            clip=self._clip,
        )
        whole = policy.loss
        if batch.reference is not None and spec.kl_place is KlPlace.LOSS:
            distance = kl_by_token(found.logprobs, batch.old, batch.reference, spec.kl) * batch.mask
            whole = whole + spec.kl_weight * distance.sum() / max(totals[0], 1.0)
        if values is not None and batch.values is not None and batch.returns is not None:
            off = value_loss(values, batch.values, batch.returns, batch.mask, counts=counts)
            whole = whole + spec.value_weight * off
            self.sums["value_loss"] += float(off.detach())
        self._count(batch, found, policy.clipped_low, policy.clipped_high)
        return Pass(whole, whole, 0)

    @torch.no_grad()
    def _count(self, batch: RowBatch, found: LogProbs, low: float, high: float) -> None:
        mask = batch.mask
        self.sums["tokens"] += float(mask.sum())
        self.sums["clipped_low"] += low
        self.sums["clipped_high"] += high
        self.sums["entropy"] += float((found.entropy * mask).sum())
        self.sums["moved"] += float(((found.logprobs - batch.old).abs() * mask).sum())
        if batch.reference is not None:
            self.sums["kl"] += float((kl(found.logprobs, batch.reference, self._spec.kl) * mask).sum())


def longest_of(spec: RlSpec) -> int:
    """Tokens of the longest response that is allowed."""
    return spec.max_thinking + spec.max_answer


def needs_value(spec: RlSpec) -> bool:
    """Whether a value head is trained."""
    return spec.algorithm is Algorithm.PPO
