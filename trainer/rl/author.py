"""Rollouts: the policy writes traces for the problems of an update, they are rewarded, and tokens get advantages.

All of it follows from the weights, the seed and the update alone, so an update that was interrupted is written again
as it was; one whose rollouts are on disk and already learned from in part is read back instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.contract.records import InputRow, record_id
from trainer.contract.rollouts import PackedTrace, RolloutBatch, floats, ints, pack_floats, pack_ints
from trainer.contract.specs.rl import KlPlace, RlSpec
from trainer.models.generate import BudgetRule, Decoder, Ended, Generated, Sampling, ThinkingEnded
from trainer.models.policies import LoadedPolicy
from trainer.models.response_tokens import ResponseTokens
from trainer.prompts import Prompts
from trainer.reasoning.credit import CreditSettings, advantages, token_rewards
from trainer.reasoning.response import read_response
from trainer.reasoning.what_if import rewards_of
from trainer.rl.advantages import gae, padded, whiten
from trainer.rl.author_server import ServerWriter, importance, read_again
from trainer.rl.losses import kl
from trainer.rl.objective import Learning, PolicyRow, longest_of
from trainer.rl.reference import Reference, read_rows
from trainer.rl.rewarder import Earned, Rewarder, Written
from trainer.runtime.distributed import Processes
from trainer.runtime.sharding import Whole

Check = Callable[[], None]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One trace with all that was found out about it; `advantages` [T] over its response.

    `server` [T] are the log-probs of the server that wrote it, None where the trainer did; `weights` [T] what its
    tokens count for that reason, None where they all count alike. `version`: see `PackedTrace.policy_version`.
    """

    row: InputRow
    group: int
    prompt: tuple[int, ...]
    made: Generated
    trace: Written
    earned: Earned
    advantages: Floats
    reward: float
    reference: Floats | None = None
    values: Floats | None = None
    returns: Floats | None = None
    server: Floats | None = None
    weights: Floats | None = None
    version: int = 0

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Which tokens the policy chose itself [T]."""
        return ~self.made.forced

    def as_row(self) -> PolicyRow:
        """What the policy learns of it."""
        ids = np.concatenate([np.asarray(self.prompt, np.int64), self.made.ids])
        return PolicyRow(
            ids,
            len(self.prompt),
            self.learned,
            self.made.logprobs if self.server is None or self.weights is not None else self.server,
            self.advantages if self.weights is None else self.advantages * self.weights,
            self.reference,
            self.values,
            self.returns,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt of an update: its place there, its budget, and the seeds of its traces, which no process changes."""

    place: int
    row: InputRow
    budget: int | None
    seeds: tuple[int, ...]


class Author:
    """Writes the rollouts of an update and reads them back.

    Of several processes each writes, judges and reads those of some prompts; then all have all of them.
    """

    def __init__(
        self,
        spec: RlSpec,
        run: str,
        loaded: LoadedPolicy,
        learning: Learning,
        problems: Sequence[InputRow],
        rewarder: Rewarder,
        reference: Reference | None,
        processes: Processes,
        server: ServerWriter | None = None,
        whole: Whole | None = None,
    ) -> None:
        """`learning` and `loaded` are whole while `whole` is entered, where the policy is spread over processes."""
        self._whole = whole
        self.spec, self.problems, self._run, self._rewarder = spec, problems, run, rewarder
        self._learning, self._reference, self._processes = learning, reference, processes
        self._server = server
        self._decoder = server or Decoder(loaded.language.model, loaded.tokenizer, rows=max(64, spec.traces))
        self._prompts: Prompts = loaded.prompts
        self._tokens = ResponseTokens(loaded.tokenizer)
        self._says_budget = spec.budget_high > 0
        self.credit = CreditSettings(
            form=spec.credit,
            process_weight=spec.process_weight if rewarder.judge.is_there else 0.0,
            outcome_weight=spec.outcome_weight,
            scale=spec.scale,
        )

    @property
    def tokens_drawn(self) -> int:
        """All tokens ever drawn."""
        return self._decoder.tokens_drawn

    def judge_at(self, step: int) -> None:
        """Score from now on with the PRM that is in force after `step` optimiser steps."""
        self._rewarder.judge.at(step)

    def refresh(self) -> None:
        """The weights were changed by another hand than the optimiser's."""
        if self._whole is None:  # else they are read whenever they are gathered
            self._decoder.refresh()

    @contextmanager
    def weights(self) -> Iterator[None]:
        """For as long as this lasts the policy is whole here; all processes must ask for it together."""
        if self._whole is None:
            yield
            return
        with self._whole:
            self._decoder.refresh()
            yield

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, update: int, check: Check) -> list[Rollout]:
        """The rollouts of an update by the weights of now."""
        with self.weights():
            return self._write(update, check)

    def _write(self, update: int, check: Check) -> list[Rollout]:
        spec = self.spec
        rows = self._rows_of(update)
        seeds = np.random.SeedSequence([spec.seed, update]).generate_state(len(rows) * spec.traces, np.uint32)
        by_prompt = seeds.reshape(len(rows), spec.traces)
        mine = [
            Asked(place, rows[place], self._budget_of(update, place), tuple(by_prompt[place].tolist()))
            for place in self._processes.places(len(rows))
        ]
        groups = self._processes.gathered(self._write_for(mine, check) if mine else [], len(rows))
        confirmed = None if self._server is None else self._server.serving
        version = update * spec.passes * spec.parts if confirmed is None else confirmed.version
        return self._credited([replace(one, version=version) for group in groups for one in group], check)

    def _write_for(self, asked: Sequence[Asked], check: Check) -> list[list[Rollout]]:
        """Rollouts of these prompts, judged and compared with the reference policy, prompt by prompt."""
        spec = self.spec
        prompts = [self._prompts.ids_of(each.row.problem, each.budget) for each in asked]
        sampling = replace(self._sampling(), temperature=spec.temperature, top_p=spec.top_p)
        seeds = [seed for each in asked for seed in each.seeds]
        made = self._decoder.generate(prompts, sampling, n=spec.traces, seeds=seeds, check=check)
        flat = [(each, prompt, one) for each, prompt, of in zip(asked, prompts, made, strict=True) for one in of]
        traces = [self._read(each.row, one, each.budget) for each, _, one in flat]
        earned = self._rewarder.earned(traces, check)
        found = [
            Rollout(each.row, each.place, tuple(prompt), one, trace, paid, np.zeros(trace.length, np.float32), 0.0)
            for (each, prompt, one), trace, paid in zip(flat, traces, earned, strict=True)
        ]
        found = self._compared(self._by_server(found, check), check)
        return [found[start : start + spec.traces] for start in range(0, len(found), spec.traces)]

    def _by_server(self, found: list[Rollout], check: Check) -> list[Rollout]:
        """After a server has written: with what the trainer itself makes of every token."""
        if self._server is None:
            return found
        return [self._weighed(one) for one in read_again(self._learning, found, self.spec.temperature, check)]

    def _weighed(self, one: Rollout) -> Rollout:
        """With the importance weights of its tokens, where a server wrote it and weights are asked for."""
        if one.server is None or not self.spec.server_ratio_cap:
            return one
        return replace(one, weights=importance(one.made.logprobs, one.server, self.spec.server_ratio_cap))

    def greedy(self, rows: Sequence[InputRow], check: Check) -> list[tuple[Generated, Written, Earned]]:
        """What the policy writes when it always takes the most probable token, judged.

        Where budgets are said, a problem's own text chooses its budget between the smallest and the largest.
        """
        mine = [rows[place] for place in self._processes.places(len(rows))]
        with self.weights():
            return self._processes.gathered(self._greedy(mine, check) if mine else [], len(rows))

    def _greedy(self, rows: Sequence[InputRow], check: Check) -> list[tuple[Generated, Written, Earned]]:
        budgets = [self._drawn(int.from_bytes(sha256(row.problem.encode()).digest()[:8])) for row in rows]
        prompts = [self._prompts.ids_of(row.problem, budget) for row, budget in zip(rows, budgets, strict=True)]
        made = self._decoder.generate(prompts, replace(self._sampling(), temperature=0.0), check=check)
        traces = [self._read(row, one[0], budget) for row, one, budget in zip(rows, made, budgets, strict=True)]
        earned = self._rewarder.earned(traces, check)
        return [(one[0], trace, paid) for one, trace, paid in zip(made, traces, earned, strict=True)]

    def _sampling(self) -> Sampling:
        spec = self.spec
        rule = BudgetRule(thinking=spec.max_thinking, answer=spec.max_answer)
        return Sampling(max_new_tokens=longest_of(spec) + 16, budget=rule)  # the mark itself counts in neither

    def _rows_of(self, update: int) -> list[InputRow]:
        """The problems of an update: every one is used before any comes again, in an order that the seed draws."""
        count, rows = len(self.problems), []
        for place in range(update * self.spec.prompts, (update + 1) * self.spec.prompts):
            epoch, index = divmod(place, count)
            order = np.random.Generator(np.random.PCG64([self.spec.seed, epoch])).permutation(count)
            rows.append(self.problems[int(order[index])])
        return rows

    def _budget_of(self, update: int, place: int) -> int | None:
        return self._drawn(self.spec.seed, update, place)

    def _drawn(self, *seed: int) -> int | None:
        if not self._says_budget:
            return None
        draw = np.random.Generator(np.random.PCG64([*seed]))
        low = max(1, min(self.spec.budget_low, self.spec.budget_high))
        return int(draw.integers(low, self.spec.budget_high + 1))

    def _read(self, row: InputRow, made: Generated, budget: int | None) -> Written:
        return self._written(row.problem, row.reference, made.ids, made.thinking_tokens, budget)

    def _written(
        self, problem: str, reference: str | None, ids: NDArray[np.integer], thinking: int, budget: int | None
    ) -> Written:
        response = read_response(self._tokens.text(ids.tolist()))
        ends = self._tokens.places(ids.tolist(), [span.end for span in response.steps])
        apart = self._tokens.separators(ids.tolist(), response.steps)
        return Written(problem, reference, response, ends.tolist(), apart.tolist(), len(ids), thinking, budget)

    # -- advantages ---------------------------------------------------------------------------------------------------

    def _compared(self, found: list[Rollout], check: Check) -> list[Rollout]:
        """With the reference policy's log-probs, where there is one."""
        if self._reference is None:
            return found
        read = self._reference.logprobs([one.as_row() for one in found], check)
        return [replace(one, reference=values) for one, values in zip(found, read, strict=True)]

    def _credited(self, found: list[Rollout], check: Check) -> list[Rollout]:
        if self._learning.value is not None:
            return self._by_value(found, check)
        traces = [one.earned.credit(one.trace, self.spec.reward_weight) for one in found]
        drift = [float(self._kl_paid(one).sum()) for one in found]
        traces = [replace(trace, bonus=trace.bonus + paid) for trace, paid in zip(traces, drift, strict=True)]
        credit = advantages(traces, self.credit, [one.group for one in found])
        return [
            replace(one, advantages=tokens.total.astype(np.float32), reward=self._earned(one) + paid)
            for one, tokens, paid in zip(found, credit, drift, strict=True)
        ]

    def _by_value(self, found: list[Rollout], check: Check) -> list[Rollout]:
        """PPO: rewards at tokens, the value head as baseline, GAE, advantages whitened over the batch."""
        rows = [one.as_row() for one in found]
        read = [one.values for one in read_rows(self._learning, rows, self.spec.temperature, check)]
        paid = [self._token_rewards(one) + self._kl_paid(one) for one in found]
        learned = padded([one.learned for one in found])
        estimate = gae(padded(paid), padded(read), learned, self.spec.gamma, self.spec.gae_lambda)
        white = whiten(estimate.advantages, learned)
        return [
            replace(
                one,
                advantages=white[i, : one.trace.length].numpy(),
                returns=estimate.returns[i, : one.trace.length].numpy(),
                values=read[i],
                reward=float(paid[i].sum()),
            )
            for i, one in enumerate(found)
        ]

    def _token_rewards(self, one: Rollout) -> NDArray[np.float64]:
        credit = one.earned.credit(one.trace, self.spec.reward_weight)
        paid = token_rewards(rewards_of(credit, self.credit), credit.step_ends, one.trace.length)
        if one.trace.length:
            paid[-1] += credit.bonus
        return paid

    def _earned(self, one: Rollout) -> float:
        credit = one.earned.credit(one.trace, self.spec.reward_weight)
        return rewards_of(credit, self.credit).earned + credit.bonus

    def _kl_paid(self, one: Rollout) -> NDArray[np.float64]:
        """What the distance from the reference policy takes off each token [T]."""
        if one.reference is None or self.spec.kl_place is not KlPlace.REWARD:
            return np.zeros(one.trace.length)
        own, reference = torch.from_numpy(one.made.logprobs), torch.from_numpy(one.reference)
        return -self.spec.kl_weight * kl(own, reference, self.spec.kl).double().numpy() * one.learned

    # -- files --------------------------------------------------------------------------------------------------------

    def packed(self, update: int, found: Sequence[Rollout]) -> RolloutBatch:
        """The rollouts as their file keeps them."""
        traces = tuple(self._pack(update, index, one) for index, one in enumerate(found))
        return RolloutBatch(update=update, policy_version=update, traces=traces)

    def _pack(self, update: int, index: int, one: Rollout) -> PackedTrace:
        trace, paid = one.trace, one.earned
        parts = {"outcome": paid.outcome} if paid.outcome is not None else {}
        if paid.scores:
            parts |= {"process": min(paid.scores)}
        return PackedTrace(
            id=record_id(self._run, one.row.id, update * 1_000_000 + index),
            row=one.row.id,
            group=one.group,
            problem=trace.problem,
            reference=trace.reference,
            prompt=pack_ints(np.asarray(one.prompt)),
            text=trace.response.text,
            answer=trace.response.answer,
            tokens=pack_ints(one.made.ids),
            logprobs=pack_floats(one.made.logprobs),
            entropy=pack_floats(one.made.entropy),
            forced=one.made.forced.astype(np.uint8).tobytes(),
            advantages=pack_floats(one.advantages),
            reference_logprobs=b"" if one.reference is None else pack_floats(one.reference),
            values=b"" if one.values is None else pack_floats(one.values),
            returns=b"" if one.returns is None else pack_floats(one.returns),
            server_logprobs=b"" if one.server is None else pack_floats(one.server),
            policy_version=one.version,
            step_ends=tuple(int(end) for end in trace.step_ends),
            step_spans=tuple((span.start, span.end) for span in trace.response.steps),
            separators=np.asarray(trace.separators, np.uint8).tobytes(),
            scores=paid.scores,
            scorer=self._rewarder.judge.version if paid.scores else "",
            correct=paid.correct,
            outcome=paid.outcome,
            reward=one.reward,
            own=paid.own,
            parts=parts,
            thinking_tokens=one.made.thinking_tokens,
            answer_tokens=one.made.answer_tokens,
            ended=str(one.made.ended),
            thinking_ended="" if one.made.thinking_ended is None else str(one.made.thinking_ended),
            budget=trace.budget,
            starts=self._tokens.starts(one.made.ids).astype("<u4").tobytes(),
        )

    def unpacked(self, batch: RolloutBatch, rows: dict[str, InputRow]) -> list[Rollout]:
        """The rollouts of a file, as they were written. Raises KeyError for a row that the run does not have."""
        return [self._unpack(one, rows[one.row]) for one in batch.traces]

    def _unpack(self, one: PackedTrace, row: InputRow) -> Rollout:
        ids = ints(one.tokens).astype(np.int64)
        made = Generated(
            ids=ids,
            logprobs=floats(one.logprobs),
            entropy=floats(one.entropy),
            forced=np.frombuffer(one.forced, np.uint8).astype(np.bool_),
            ended=Ended(one.ended),
            seed=0,
            thinking_tokens=one.thinking_tokens,
            answer_tokens=one.answer_tokens,
            thinking_ended=ThinkingEnded(one.thinking_ended) if one.thinking_ended else None,
        )
        trace = self._written(one.problem, one.reference, ids, one.thinking_tokens, one.budget)
        found = Rollout(
            row,
            one.group,
            tuple(ints(one.prompt).tolist()),
            made,
            trace,
            Earned(one.scores, 0, one.correct, one.outcome, one.own),
            floats(one.advantages),
            one.reward,
            floats(one.reference_logprobs) if one.reference_logprobs else None,
            floats(one.values) if one.values else None,
            floats(one.returns) if one.returns else None,
            floats(one.server_logprobs) if one.server_logprobs else None,
            version=one.policy_version,
        )
        return self._weighed(found)
