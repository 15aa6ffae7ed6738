"""The policy update as an objective of the Learner: what a batch of rollouts teaches a policy, and PPO's value head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.contract.specs.rl import Algorithm, KlPlace, RlSpec
from trainer.models.language import Language
from trainer.models.learn import Pass
from trainer.models.shared_prompts import OwnRows, leave, own_rows, use
from trainer.rl.advantages import padded
from trainer.rl.logprobs import LogProbs, head_of, token_logprobs
from trainer.rl.losses import Clip, Counts, kl, kl_by_token, policy_loss, value_loss

WIDTHS = 16  # lines are as wide as a multiple of it: products of new sizes are dear (see `products.rounded`)

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
    """Rows for one pass. Everything a loss needs is over the responses [B, T], right-padded; `mask` is 1 where learned.

    `ids` [lines, width] are what the body reads: a line a row, or one line for all rows of a prompt, which then stands
    on it once (`positions`, and `own` or `seen`, say who sees whom). `places` [tokens] are the flat positions of the
    states before every response token, row by row, `chosen` [tokens] those tokens, `there` [B, T] where they belong.
    """

    ids: Tensor
    positions: Tensor | None
    seen: Tensor | None
    own: OwnRows | None
    places: Tensor
    chosen: Tensor
    there: Tensor
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
    """All that an RL run trains: the policy and, for PPO, its value head.

    `shares` says that rows of one prompt may lie on one line: the body reads each prompt once. `apart`: its attention
    then leaves other rows out instead of masking them, see `models.shared_prompts`.
    """

    def __init__(self, policy: Language, *, with_value: bool, shares: bool = False) -> None:
        super().__init__()
        self.policy = policy
        self.shares = shares
        self.apart = shares and _attends_apart(policy)
        self.value = ValueHead(int(head_of(policy.model).weight.shape[1])) if with_value else None

    def read(self, batch: RowBatch, temperature: float) -> tuple[LogProbs, Tensor | None]:
        """Log-probs and entropy of every response token [B, T], and V before each of them where there is a head."""
        logprobs, entropy, value = self(batch, temperature)
        return LogProbs(logprobs, entropy), value

    def forward(self, batch: RowBatch, temperature: float) -> tuple[Tensor, Tensor, Tensor | None]:
        """What `read` gives, as plain tensors: a model that is spread over processes gathers itself around this."""
        head = head_of(self.policy.model)
        apart: dict[str, Any] = {}
        if batch.own is not None:
            apart = {"position_ids": batch.positions, "own": batch.own}
        elif batch.seen is not None:
            apart = {"position_ids": batch.positions, "attention_mask": _as_added(batch.seen, self.policy)}
        states = self.policy.body(input_ids=batch.ids, use_cache=False, **apart).last_hidden_state
        before = states.flatten(0, 1).index_select(0, batch.places)
        found = token_logprobs(before, head, batch.chosen, temperature=temperature)
        value = None if self.value is None else _spread(self.value(before), batch.there)
        return _spread(found.logprobs, batch.there), _spread(found.entropy, batch.there), value


def _spread(values: Tensor, there: Tensor) -> Tensor:
    """Token values [tokens] at their places [B, T], zeros elsewhere."""
    return torch.zeros(there.shape, dtype=values.dtype, device=values.device).masked_scatter(there, values)


def laid(
    rows: Sequence[PolicyRow], device: torch.device | str = "cpu", *, shares: bool = False, apart: bool = False
) -> RowBatch:
    """Rows to a batch; `shares`: rows with the same prompt lie on one line; `apart`: told by their places, no mask."""
    lines = _by_prompt(rows) if shares else [[index] for index in range(len(rows))]
    lengths = [rows[line[0]].prompt + sum(rows[i].length - rows[i].prompt for i in line) for line in lines]
    width = -(-max(lengths) // WIDTHS) * WIDTHS
    ids, positions = np.zeros((len(lines), width), np.int64), np.zeros((len(lines), width), np.int64)
    owner = np.full((len(lines), width), -1, np.int64)  # 0: the prompt; k: the line's k-th row; -1: padding
    places: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(rows)
    for number, line in enumerate(lines):
        prompt = rows[line[0]].prompt
        ids[number, :prompt] = rows[line[0]].ids[:prompt]
        positions[number, :prompt] = np.arange(prompt)
        owner[number, :prompt] = 0
        end = prompt
        for k, index in enumerate(line, 1):
            response = rows[index].ids[prompt:]
            begin, end = end, end + len(response)
            ids[number, begin:end] = response
            positions[number, begin:end] = np.arange(prompt, prompt + len(response))
            owner[number, begin:end] = k
            places[index] = np.concatenate([[prompt - 1], np.arange(begin, end - 1)]) + number * width
    shared = len(lines) < len(rows)
    tokens = [row.length - row.prompt for row in rows]
    there = torch.arange(max(tokens))[None, :] < torch.tensor(tokens)[:, None]

    def over(values: Sequence[NDArray[np.generic]]) -> Tensor:
        return padded([np.asarray(value) for value in values]).to(device)

    def some(values: Sequence[Floats | None]) -> Tensor | None:
        known = [value for value in values if value is not None]
        return over(known) if len(known) == len(values) else None

    return RowBatch(
        ids=torch.from_numpy(ids).to(device),
        positions=torch.from_numpy(positions).to(device) if shared else None,
        seen=_seen(torch.from_numpy(owner).to(device)) if shared and not apart else None,
        own=_own(rows, lines, width, device) if shared and apart else None,
        places=torch.from_numpy(np.concatenate(places)).to(device),
        chosen=torch.from_numpy(np.concatenate([row.ids[row.prompt :] for row in rows])).to(device),
        there=there.to(device),
        mask=over([row.learned for row in rows]),
        old=over([row.old for row in rows]),
        advantages=over([row.advantages for row in rows]),
        reference=some([row.reference for row in rows]),
        values=some([row.values for row in rows]),
        returns=some([row.returns for row in rows]),
    )


def _own(rows: Sequence[PolicyRow], lines: list[list[int]], width: int, device: torch.device | str) -> OwnRows:
    prompts = [rows[line[0]].prompt for line in lines]
    return own_rows(prompts, [[rows[i].length - rows[i].prompt for i in line] for line in lines], width, device)


@torch.no_grad()
def _attends_apart(policy: Language) -> bool:
    """Have the body attend row by row, unless that gives it other numbers than a mask (it may not pass places on)."""
    if not use(policy.model):
        return False
    ids = np.arange(3, 14, dtype=np.int64) % int(policy.model.config.vocab_size)
    nothing = np.zeros(0, np.float32)
    rows = [PolicyRow(np.append(ids[:5], ids[a:b]), 5, nothing > 0, nothing, nothing) for a, b in ((5, 9), (8, 11))]
    was_training = policy.training
    policy.eval()
    states = []
    for apart in (False, True):
        batch = laid(rows, policy.device, shares=True, apart=apart)
        given = {"own": batch.own} if apart else {"attention_mask": _as_added(batch.seen, policy)}
        found = policy.body(input_ids=batch.ids, position_ids=batch.positions, use_cache=False, **given)
        states.append(found.last_hidden_state.flatten(0, 1).index_select(0, batch.places).float())
    policy.train(was_training)
    if bool((states[0] - states[1]).abs().max() <= 1e-3 * states[0].abs().max()):
        return True
    leave(policy.model)
    return False


def _as_added(seen: Tensor | None, policy: Language) -> Tensor | None:
    """A mask in the type of the weights: attention is silently wrong with one of another type than its own."""
    return None if seen is None else seen.to(head_of(policy.model).weight.dtype)


def _by_prompt(rows: Sequence[PolicyRow]) -> list[list[int]]:
    """Row numbers by prompt, in the order in which the prompts come."""
    groups: dict[bytes, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.ids[: row.prompt].tobytes(), []).append(index)
    return list(groups.values())


def _seen(owner: Tensor) -> Tensor:
    """What each token sees [lines, 1, width, width] (0 seen, -inf not): the prompt and its own row, nothing later."""
    width = owner.shape[1]
    own = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
    own &= torch.ones(width, width, dtype=torch.bool, device=owner.device).tril()
    own |= torch.eye(width, dtype=torch.bool, device=owner.device)  # padding sees itself: no row without a sight
    return torch.zeros(own.shape, device=owner.device).masked_fill_(~own, -torch.inf)[:, None]


def prompt_passes(rows: Sequence[PolicyRow], most: int, budget: int | None) -> list[list[PolicyRow]]:
    """A batch into passes of at most `most` rows, or of about `budget` tokens; rows of a prompt stay together."""
    parts = [line[i : i + most] for line in _grouped(rows) for i in range(0, len(line), most)]
    parts.sort(key=lambda part: -_line_length(part))
    whole = sum(map(_line_length, parts))
    share = whole / max(1, -(-whole // budget)) if budget is not None else 0.0  # passes alike: the largest needs least
    passes: list[list[PolicyRow]] = []
    tokens = 0
    for part in parts:
        length = _line_length(part)
        if budget is not None:
            fits = tokens < share and tokens + length <= budget
        else:
            fits = bool(passes) and len(passes[-1]) + len(part) <= most
        if not (passes and fits):
            passes.append([])
            tokens = 0
        passes[-1] += part
        tokens += length
    return passes


def _grouped(rows: Sequence[PolicyRow]) -> list[list[PolicyRow]]:
    """Rows by prompt."""
    return [[rows[i] for i in line] for line in _by_prompt(rows)]


def _line_length(rows: Sequence[PolicyRow]) -> int:
    """Tokens of rows of one prompt on one line."""
    return rows[0].prompt + sum(row.length - row.prompt for row in rows)


class PolicyObjective:
    """The clipped policy loss of a batch of rollouts, with what a KL term and a value head add."""

    def __init__(self, learning: Learning, spec: RlSpec, longest: int) -> None:
        self._learning, self._spec, self._longest = learning, spec, longest
        self._clip = Clip(spec.clip_low, spec.clip_high)

    def totals(self, rows: Sequence[PolicyRow]) -> tuple[float, ...]:
        """Tokens learned, traces."""
        return float(sum(int(row.learned.sum()) for row in rows)), float(len(rows))

    def passed(self, rows: Sequence[PolicyRow], totals: Sequence[float]) -> Pass:
        """These rows' share of the batch's loss."""
        learning, spec = self._learning, self._spec
        batch = laid(rows, learning.policy.device, shares=learning.shares, apart=learning.apart)
        counts = Counts(int(totals[1]), int(totals[0]), self._longest)
        found, values = learning.read(batch, spec.temperature)
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
        figures = self._figures(batch, found, policy.clipped_low, policy.clipped_high)
        if batch.reference is not None and spec.kl_place is KlPlace.LOSS:
            distance = kl_by_token(found.logprobs, batch.old, batch.reference, spec.kl) * batch.mask
            whole = whole + spec.kl_weight * distance.sum() / max(totals[0], 1.0)
        if values is not None and batch.values is not None and batch.returns is not None:
            off = value_loss(values, batch.values, batch.returns, batch.mask, counts=counts)
            whole = whole + spec.value_weight * off
            figures["value_loss"] = float(off.detach())
        return Pass(whole, whole, 0, figures)

    @torch.no_grad()
    def _figures(self, batch: RowBatch, found: LogProbs, low: float, high: float) -> dict[str, float]:
        mask = batch.mask
        figures = {
            "tokens": float(mask.sum()),
            "clipped_low": low,
            "clipped_high": high,
            "entropy": float((found.entropy * mask).sum()),
            "moved": float(((found.logprobs - batch.old).abs() * mask).sum()),
        }
        if batch.reference is not None:
            figures["kl"] = float((kl(found.logprobs, batch.reference, self._spec.kl) * mask).sum())
        return figures


def longest_of(spec: RlSpec) -> int:
    """Tokens of the longest response that is allowed."""
    return spec.max_thinking + spec.max_answer


def needs_value(spec: RlSpec) -> bool:
    """Whether a value head is trained."""
    return spec.algorithm is Algorithm.PPO
