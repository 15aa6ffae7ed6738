"""What policies give to tokens that stand: log-probs of the reference policy, log-probs and values of the trained one.

A frozen copy on a processor reads as the decoder does: every prompt once, then all responses behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.models.engines import body_of, engine_for
from trainer.models.fused import FusedEngine
from trainer.models.learn import padded_passes
from trainer.models.prefixes import Prefix, PrefixMemory
from trainer.rl.logprobs import head_of, token_logprobs
from trainer.rl.objective import Learning, PolicyRow, laid, prompt_passes

Check = Callable[[], None]
Floats = NDArray[np.float32]
READ_TOKENS = 4096  # padded tokens in one pass that only reads
SECOND_COPY = 256 << 20  # bytes of weights of which a copy for our own pass is no burden


class Reference:
    """The policy as it was before: the trained one without its adapters, or a frozen copy."""

    def __init__(self, learning: Learning, frozen: Learning | None, temperature: float) -> None:
        self._learning, self._frozen, self._temperature = learning, frozen, temperature
        self._prompts: PrefixMemory | None = None
        if frozen is not None and _is_small(frozen):
            self._engine = engine_for(body_of(frozen.policy.model), frozen.policy.model)
            if isinstance(self._engine, FusedEngine):
                self._prompts = PrefixMemory(self._engine, frozen.policy.device, kept_bytes=0)

    def logprobs(self, rows: Sequence[PolicyRow], check: Check) -> list[Floats]:
        """Log-probs of every token of the rows' responses [T]."""
        if self._prompts is not None:
            return self._behind_prompts(self._prompts, rows, check)
        if self._frozen is not None:
            return [one.logprobs for one in read_rows(self._frozen, rows, self._temperature, check)]
        with self._learning.policy.body.disable_adapter():
            return [one.logprobs for one in read_rows(self._learning, rows, self._temperature, check)]

    @torch.inference_mode()
    def _behind_prompts(self, memory: PrefixMemory, rows: Sequence[PolicyRow], check: Check) -> list[Floats]:
        assert self._frozen is not None
        head = head_of(self._frozen.policy.model)
        known = {key: Prefix(key, None) for key in {_prompt_of(row) for row in rows}}
        out: list[Floats] = [np.zeros(0, np.float32)] * len(rows)
        place = {id(row): index for index, row in enumerate(rows)}
        for group in prompt_passes(rows, len(rows), READ_TOKENS):
            check()
            width = max(1, *(row.length - row.prompt for row in group))
            kv = memory.rows([known[_prompt_of(row)] for row in group], width, check)
            ids, real = np.zeros((len(group), width), np.int64), np.zeros((len(group), width), np.bool_)
            for line, row in enumerate(group):
                tokens = row.length - row.prompt
                ids[line, width - tokens :] = row.ids[row.prompt - 1 : -1]
                real[line, width - tokens :] = True
            there = torch.from_numpy(real)
            states = self._engine.states(torch.from_numpy(ids), kv, None if real.all() else there)
            chosen = torch.from_numpy(np.concatenate([row.ids[row.prompt :] for row in group]))
            found = token_logprobs(states[there], head, chosen, temperature=self._temperature).logprobs
            parts = found.split([row.length - row.prompt for row in group])
            for row, part in zip(group, parts, strict=True):
                out[place[id(row)]] = part.float().numpy()
        return out


def _is_small(learning: Learning) -> bool:
    total = sum(weight.numel() * weight.element_size() for weight in learning.policy.parameters())
    return learning.policy.device.type == "cpu" and total <= SECOND_COPY


def _prompt_of(row: PolicyRow) -> tuple[int, ...]:
    return tuple(row.ids[: row.prompt].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What a policy gives to the tokens of a response [T]; `values` are zeros without a value head."""

    logprobs: Floats
    entropy: Floats
    values: Floats


@torch.no_grad()
def read_rows(learning: Learning, rows: Sequence[PolicyRow], temperature: float, check: Check) -> list[Read]:
    """Every row's response as the policy reads it, in order."""
    read: dict[int, Read] = {}
    cut = prompt_passes if learning.shares else padded_passes
    for group in cut(rows, len(rows), READ_TOKENS):
        check()
        found, value = learning.read(
            laid(group, learning.policy.device, shares=learning.shares, apart=learning.apart), temperature
        )
        for line, row in enumerate(group):
            tokens = row.length - row.prompt
            logprobs, entropy = (part[line, :tokens].float().cpu().numpy() for part in (found.logprobs, found.entropy))
            values = np.zeros(tokens, np.float32) if value is None else value[line, :tokens].float().cpu().numpy()
            read[id(row)] = Read(logprobs, entropy, values)
    return [read[id(row)] for row in rows]
