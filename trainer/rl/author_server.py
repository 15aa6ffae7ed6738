"""Rollouts by a server: handed the weights before it writes, held to the version it confirmed, and read again here.

`ServerWriter` stands where the trainer's own Decoder would. The trainer then reads every trace with its own weights:
what the two disagree by is a metric and an alarm, and the importance weight of every token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.contract.keys import KeyMissing, Keys
from trainer.contract.specs.rl import RlSpec, ServerKind
from trainer.models.endpoint import (
    Ask,
    Choice,
    Dialect,
    Endpoint,
    EndpointError,
    EndpointSettings,
    Limits,
    Reply,
    Timeouts,
)
from trainer.models.policies import LoadedPolicy
from trainer.models.response_tokens import ResponseTokens
from trainer.models.sampling import Ended, Generated, Sampling, ThinkingEnded
from trainer.models.served import Serving
from trainer.reasoning.thinking import CLOSE
from trainer.rl.handover import Handover, SteplensProtocol, VllmProtocol, need_confirmed
from trainer.rl.objective import Learning
from trainer.rl.reference import read_rows
from trainer.runtime.worker import RunFailed, Worker

if TYPE_CHECKING:
    from trainer.rl.author import Rollout

Check = Callable[[], None]
Floats = NDArray[np.float32]
FARTHEST = 20.0  # log-ratios beyond this are cut inside exponentials


class ServerWriter:
    """Writes traces by asking a server, which must first confirm the weights of now."""

    def __init__(self, worker: Worker, spec: RlSpec, loaded: LoadedPolicy, keys: Keys) -> None:
        """Raises RunFailed when the settings cannot be or the server is not there."""
        if worker.processes > 1:
            raise RunFailed("a server writes rollouts for one training process; start one, or set `generation` to own")
        if not spec.server:
            raise RunFailed("no server given; set `server` to its address, or `generation` to own")
        self._worker, self._spec, self._language = worker, spec, loaded.language
        self._tokens = ResponseTokens(loaded.tokenizer)
        root = spec.server.rstrip("/").removesuffix("/v1")
        try:
            key = keys.of(spec.server_key)
            self._endpoint = _endpoint(root, spec, key)
            listed = self._endpoint.call("/v1/models", check=worker.check)
            name = str(listed["data"][0]["id"])
        except (KeyMissing, EndpointError) as error:
            raise RunFailed(f"the server for rollouts cannot be used: {error}") from error
        except (LookupError, TypeError) as error:
            raise RunFailed(
                f"{root}/v1/models names no model ({error!r}); is it an OpenAI-compatible server?"
            ) from error
        self._endpoint = Endpoint(replace(self._endpoint.settings, model=name), key)
        self._is_ours = spec.server_kind is ServerKind.STEPLENS
        self._protocol = SteplensProtocol(self._endpoint) if self._is_ours else VllmProtocol(self._endpoint)
        folder = Path(spec.server_folder) / worker.spec.run if spec.server_folder else worker.folder.path / "served"
        self._handover = Handover(
            loaded.language, lambda to: loaded.tokenizer.save_pretrained(str(to)), folder.absolute(), root
        )
        self._stamp: tuple[int, int] | None = None
        self.serving: Serving | None = None
        self.tokens_drawn = 0

    def refresh(self) -> None:
        """The weights were changed: they are handed over before the next trace is written."""
        self._stamp = None

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        n: int = 1,
        seeds: Sequence[int] | None = None,
        check: Check,
    ) -> list[list[Generated]]:
        """`n` traces of every prompt by the weights of now, in order. Raises RunFailed."""
        self._need_weights(check)
        assert self.serving is not None
        given = list(seeds) if seeds is not None else list(range(len(prompts) * n))
        try:
            replies = self._asked(self._asks(prompts, sampling, n, given), check)
            now = self._protocol.serving(check)
        except EndpointError as error:
            raise RunFailed(f"the server wrote no rollouts: {error}; look at its log, then resume") from error
        if now is not None:
            need_confirmed(self._endpoint.settings.url, self.serving, now)
        choices = [choice for reply in replies for choice in reply.choices]
        if len(choices) != len(given):
            raise RunFailed(f"the server wrote {len(choices)} traces where {len(given)} were asked for")
        made = [self._generated(choice, seed) for choice, seed in zip(choices, given, strict=True)]
        self.tokens_drawn += sum(len(one.ids) for one in made)
        return [made[first : first + n] for first in range(0, len(made), n)]

    def _need_weights(self, check: Check) -> None:
        """Hand the weights over unless the server has confirmed these very ones."""
        changes = sum(weight._version for weight in self._language.parameters())  # counts every change in place
        stamp = (self._worker.step, changes)
        if stamp != self._stamp:
            self._worker.progress("handing over weights", 0, 1, unit="folders", force=True)
            self.serving = self._handover.give(self._protocol, self._worker.step, check)
            self._stamp = stamp

    def _asks(self, prompts: Sequence[Sequence[int]], sampling: Sampling, n: int, seeds: list[int]) -> list[Ask]:
        """Ours: everything in one request, a seed a trace. vLLM: a request a prompt, which it batches itself."""
        base = Ask(
            max_tokens=sampling.max_new_tokens, temperature=sampling.temperature, top_p=sampling.top_p, n=n,
            top_logprobs=0, extra={"return_token_ids": True},
        )  # fmt: skip
        rows = tuple(tuple(int(i) for i in prompt) for prompt in prompts)
        rule = sampling.budget
        if self._is_ours:
            extra: dict[str, Any] = dict(base.extra) | {"seeds": seeds}
            if rule is not None:
                extra |= {"thinking_token_budget": rule.thinking, "answer_token_budget": rule.answer}
            return [replace(base, prompt=rows, extra=extra)]
        whole = None if rule is None or rule.thinking is None else rule.thinking + (rule.answer or 0)
        most = sampling.max_new_tokens if whole is None else min(whole, sampling.max_new_tokens)
        return [replace(base, prompt=row, max_tokens=most, seed=seeds[i * n] % 2**31) for i, row in enumerate(rows)]

    def _asked(self, asks: list[Ask], check: Check) -> list[Reply]:
        """The replies in order. Raises EndpointError, RunFailed for one by other weights."""
        found: dict[int, Reply] = {}
        for place, reply in self._endpoint.ask_many(asks, check=check):
            if isinstance(reply, EndpointError):
                raise reply
            if self._is_ours and self.serving is not None and reply.fingerprint != self.serving.fingerprint:
                raise RunFailed(
                    f"{self._endpoint.settings.url} answered as {reply.fingerprint or 'nobody'} after it had confirmed "
                    f"{self.serving.fingerprint}: was it restarted, or does another run use it? Resume with it alone"
                )
            found[place] = reply
        return [found[place] for place in range(len(asks))]

    def _generated(self, choice: Choice, seed: int) -> Generated:
        ids = np.asarray(choice.raw.get("token_ids") or (), np.int64)
        if choice.tokens is None or len(choice.tokens.logprobs) != len(ids) or not len(ids):
            raise RunFailed(
                f"{self._endpoint.settings.url} names no token ids or no log-probs of its traces; rl needs both "
                "(vLLM from 0.10.2 on)"
            )
        said = choice.raw.get("steplens")
        if isinstance(said, Mapping):
            return _with_particulars(ids, choice.tokens.logprobs, said, seed)
        first, last = _mark(self._tokens, ids)
        ended = Ended.STOP if choice.finish == "stop" else Ended.LENGTH
        return Generated(
            ids, choice.tokens.logprobs, np.zeros(len(ids), np.float32), np.zeros(len(ids), np.bool_), ended, seed,
            thinking_tokens=first, answer_tokens=len(ids) - last,
            thinking_ended=ThinkingEnded.CLOSED if last > first else ThinkingEnded.OPEN,
        )  # fmt: skip


def _endpoint(root: str, spec: RlSpec, key: str) -> Endpoint:
    seconds = spec.server_minutes * 60
    times = Timeouts(first=seconds, between=seconds, total=seconds)
    limits = Limits(parallel=max(8, spec.prompts))
    return Endpoint(EndpointSettings(f"{root}/v1", "", Dialect.COMPLETIONS, times, limits=limits), key)


def _with_particulars(ids: NDArray[np.int64], logprobs: Floats, said: Mapping[str, Any], seed: int) -> Generated:
    """A trace as our own server tells it."""
    forced = np.zeros(len(ids), np.bool_)
    forced[list(said["forced"])] = True
    closed = said["thinking_ended"]
    return Generated(
        ids, logprobs, np.asarray(said["entropy"], np.float32), forced, Ended(said["ended"]), seed,
        thinking_tokens=int(said["thinking_tokens"]), answer_tokens=int(said["answer_tokens"]),
        thinking_ended=None if closed is None else ThinkingEnded(closed),
    )  # fmt: skip


def _mark(tokens: ResponseTokens, ids: NDArray[np.int64]) -> tuple[int, int]:
    """The first token of the mark that closes the thinking, and the first behind it; all is thinking without one."""
    close = tokens.text(ids).find(CLOSE)
    if close < 0:
        return len(ids), len(ids)
    first = int(tokens.places(ids, [close + 1], begun=True)[0])
    return first, int(tokens.places(ids, [close + len(CLOSE)])[0]) + 1


# -- what server and trainer disagree by ------------------------------------------------------------------------------


def read_again(learning: Learning, found: Sequence[Rollout], temperature: float, check: Check) -> list[Rollout]:
    """The rollouts with the trainer's log-probs and entropy; those of the server are kept beside them."""
    rows = [one.as_row() for one in found]
    read = read_rows(learning, rows, temperature, check)
    return [
        replace(one, made=replace(one.made, logprobs=own.logprobs, entropy=own.entropy), server=one.made.logprobs)
        for one, own in zip(found, read, strict=True)
    ]


def importance(own: Floats, server: Floats, cap: float) -> Floats:
    """Truncated importance weights of tokens [T]: min(p_trainer / p_server, cap) (Yao et al. 2025, Espeholt 2018)."""
    ratio = np.exp(np.clip(own - server, -FARTHEST, FARTHEST))
    weights: Floats = np.minimum(ratio, cap).astype(np.float32)
    return weights


def mismatch_figures(found: Sequence[Rollout], cap: float) -> dict[str, float]:
    """What trainer and server disagree by on the tokens that the policy chose, under TRL's names where it has one."""
    apart = [(one.made.logprobs - one.server)[one.learned] for one in found if one.server is not None]
    if not apart:
        return {}
    difference = np.concatenate(apart).astype(np.float64)
    if not len(difference):
        return {}
    ratio = np.exp(np.clip(difference, -FARTHEST, FARTHEST))
    out = {
        "sampling/sampling_logp_difference/mean": float(np.abs(difference).mean()),
        "sampling/sampling_logp_difference/max": float(np.abs(difference).max()),
        "sampling/kl": float(-difference.mean()),  # k1 of KL(server || trainer) at the server's own tokens
        "sampling/importance_sampling_ratio/min": float(ratio.min()),
        "sampling/importance_sampling_ratio/mean": float(ratio.mean()),
        "sampling/importance_sampling_ratio/max": float(ratio.max()),
    }
    return out | ({"sampling/truncated": float((ratio > cap).mean())} if cap else {})
