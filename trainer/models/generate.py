"""Decoding many traces at once: a prompt is read once, rows that end leave, each trace draws from its own seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.engines import body_of, engine_for
from trainer.models.kv import Kv
from trainer.models.lanes import Lane, Marks, Pieces
from trainer.models.prefixes import KEPT_BYTES, Prefix, PrefixMemory
from trainer.models.sampling import BudgetRule, Delta, Drawn, Draws, Ended, Generated, Sampling, ThinkingEnded, draw

__all__ = [
    "BudgetRule", "Decoder", "Delta", "Ended", "Generated", "Prefix", "PromptError", "Sampling", "ThinkingEnded",
]  # fmt: skip

CHECK_EVERY = 16  # tokens between two calls of `check`
ROWS = 64  # traces written at once
ROOM = 256  # slots made beyond the prompt at first
SMALL_PRODUCT = 10e6  # floating-point operations that one thread does before a second has woken up

Prompt = Sequence[int] | Prefix


class PromptError(ValueError):
    """A prompt that the model cannot read; the message says which and why."""


def _never() -> None:
    """Nobody cancels."""


class Decoder:
    """Writes traces with a causal LM of transformers (adapters of peft may be on it).

    `frozen` promises that the weights stay: they are read once, and prefixes keep their worth. Otherwise every call
    reads the weights again. Rows are at most `rows` at once; kept prefixes take at most `kept_bytes`.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - any HF causal LM
        tokenizer: Any = None,  # noqa: ANN401
        *,
        frozen: bool = False,
        rows: int = ROWS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        config = model.config.get_text_config(decoder=True)
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"{config.model_type} has an encoder; a decoder-only model is needed")
        self._model, self._rows, self._frozen = model, rows, frozen
        self.device = next(model.parameters()).device
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        if tokenizer is not None:
            self.vocabulary = min(self.vocabulary, len(tokenizer))  # ids that only pad the matrix are never drawn
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        self.stop_ids = _stop_ids(model, tokenizer)
        self._bos = getattr(tokenizer, "bos_token_id", None) if tokenizer is not None else config.bos_token_id
        self._pieces = None if tokenizer is None else Pieces(tokenizer)
        with _evaluating(model):
            self._engine = engine_for(body_of(model), model)
        linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
        self._product = 2.0 * sum(module.weight.numel() for module in linears) / max(1, len(linears))
        self._memory = PrefixMemory(self._engine, self.device, kept_bytes)
        self._fresh = True
        self.tokens_drawn = 0  # all tokens ever drawn, kept or not

    @property
    def tokens_read(self) -> int:
        """All prompt and prefix tokens ever read, without those that were remembered."""
        return self._memory.tokens_read

    def refresh(self) -> None:
        """The weights have changed: read them again and hold no prefix for read."""
        self._engine.refresh()
        self._memory.version += 1

    def prefix(self, ids: Sequence[int]) -> Prefix:
        """A prefix to continue from; an empty one begins with the tokenizer's first token. Raises PromptError."""
        given = tuple(int(i) for i in ids)
        if not given:
            if self._bos is None:
                raise PromptError("an empty prompt, and the tokenizer has no token that begins a text; give a prompt")
            given = (int(self._bos),)
        return self._checked(Prefix(given, None))

    def extend(self, prefix: Prefix, ids: Sequence[int]) -> Prefix:
        """The prefix and `ids` behind it; what the prefix remembers is shared. Raises PromptError."""
        added = tuple(int(i) for i in ids)
        return self._checked(Prefix(prefix.ids + added, prefix)) if added else prefix

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        n: int = 1,
        seeds: Sequence[int] | None = None,
        budgets: Sequence[BudgetRule | None] | None = None,
        check: Callable[[], None] = _never,
        on_tokens: Callable[[Sequence[Delta]], None] | None = None,
        keep: bool = False,
    ) -> list[list[Generated]]:
        """`n` traces of every prompt, in order.

        `seeds` has one a trace, prompt by prompt (default 0, 1, ...); `budgets` one a prompt, over `sampling`'s own.
        `check` is called before reading and every 16 tokens and may raise; `on_tokens` hears of every token. With
        `keep` each trace carries the prefix it has become. Raises PromptError, ValueError.
        """
        seeds = range(len(prompts) * n) if seeds is None else seeds
        if n < 1 or len(seeds) != len(prompts) * n or (budgets is not None and len(budgets) != len(prompts)):
            raise ValueError(f"{len(prompts)} prompts x {n} traces, but {len(seeds)} seeds or not one budget a prompt")
        distinct: dict[tuple[int, ...], Prefix] = {}
        sources = []
        for prompt in prompts:
            prefix = prompt if isinstance(prompt, Prefix) else self.prefix(prompt)
            sources.append(distinct.setdefault(prefix.ids, prefix))
        lanes = [
            self._lane(p, t, seeds[p * n + t], sources[p], sampling) for p in range(len(prompts)) for t in range(n)
        ]
        self._budget(lanes, sources, [sampling.budget] * len(prompts) if budgets is None else budgets)
        done: list[list[Generated]] = [[] for _ in prompts]
        with torch.inference_mode(), _evaluating(self._model):
            if not (self._frozen or self._fresh):
                self.refresh()
            self._fresh = self._frozen
            for first in range(0, len(lanes), self._rows):
                writing = _Writing(self, lanes[first : first + self._rows], sources, sampling, check, on_tokens, keep)
                with _threads_for(self._product * len(writing), self.device):
                    written = writing.write()
                for lane, made in written:
                    done[lane.prompt].append(made)
            self._memory.shrink()
        return done

    def _checked(self, prefix: Prefix) -> Prefix:
        longest = self.context
        if longest is not None and len(prefix) >= longest:
            raise PromptError(
                f"the prompt has {len(prefix)} tokens and the model reads {longest}; shorten it or choose another model"
            )
        wrong = next((i for i in prefix.ids[prefix.start :] if not 0 <= i < self._embedded), None)
        if wrong is not None:
            raise PromptError(f"token {wrong} is not among the model's {self._embedded}; is this its tokenizer?")
        return prefix

    @property
    def _embedded(self) -> int:
        return int(self._model.get_input_embeddings().weight.shape[0])

    def _lane(self, prompt: int, trace: int, seed: int, source: Prefix, sampling: Sampling) -> Lane:
        stops = self.stop_ids if sampling.stop_ids is None else sampling.stop_ids
        limit = 2**62 if self.context is None else self.context - len(source)
        if sampling.stop_texts and (self._pieces is None or "" in sampling.stop_texts):
            raise ValueError("stop texts need a tokenizer and at least one character each")
        return Lane(prompt, trace, int(seed), sampling, frozenset(stops), limit, self._pieces)

    def _budget(self, lanes: Sequence[Lane], sources: Sequence[Prefix], budgets: Sequence[BudgetRule | None]) -> None:
        """Put each lane under its prompt's rule."""
        for lane in lanes:
            rule = budgets[lane.prompt]
            if rule is not None:
                if self._pieces is None:
                    raise ValueError("a budget needs the tokenizer: give it to the decoder")
                lane.obey(Marks.of(rule, self._pieces), sources[lane.prompt].ids)


class _Writing:
    """A batch of lanes until the last has ended; the live ones stand in the first rows of the buffers."""

    def __init__(
        self,
        decoder: Decoder,
        lanes: Sequence[Lane],
        sources: Sequence[Prefix],
        sampling: Sampling,
        check: Callable[[], None],
        on_tokens: Callable[[Sequence[Delta]], None] | None,
        keep: bool,
    ) -> None:
        self._decoder, self._all, self._live, self._sources = decoder, lanes, list(lanes), sources
        self._sampling, self._check, self._on_tokens, self._keep = sampling, check, on_tokens, keep
        self._prefixes: dict[int, Prefix] = {}

    def __len__(self) -> int:
        """Lanes that are still written."""
        return len(self._live)

    def write(self) -> list[tuple[Lane, Generated]]:
        """Draw until every lane has ended."""
        decoder, sampling = self._decoder, self._sampling
        sources = [self._sources[lane.prompt] for lane in self._live]
        self._check()
        kv = decoder._memory.rows(sources, min(sampling.max_new_tokens, ROOM), self._check)
        last = torch.tensor([source.ids[-1] for source in sources], device=decoder.device)
        draws = None
        if sampling.temperature > 0:
            draws = Draws([lane.seed for lane in self._live], decoder.device)
        step = 0
        while self._live:
            if step and step % CHECK_EVERY == 0:
                self._check()
            step += 1
            logits = decoder._engine.logits(last[:, None], kv)[:, : decoder.vocabulary]
            drawn = draw(logits, None if draws is None else draws.next(), sampling, *self._budget())
            self._take(drawn)
            last = self._back(drawn.ids, kv)
            last = self._leave(last, kv, draws)
        return [(lane, self._result(lane)) for lane in self._all]

    def _budget(self) -> tuple[list[tuple[int, int, float]], list[tuple[int, int]]]:
        """(row, token, bias) of rows in a grace window and (row, token) of rows whose token is written for them."""
        biased, forced = [], []
        for row, lane in enumerate(self._live):
            if lane.must is not None:
                forced.append((row, lane.must))
            elif (leaning := lane.leaning) is not None:
                biased.append((row, *leaning))
        return biased, forced

    def _take(self, drawn: Drawn) -> None:
        """Hand every lane its token, and tell."""
        ids, logprobs, entropy = drawn.ids.tolist(), drawn.logprobs.tolist(), drawn.entropy.tolist()
        self._decoder.tokens_drawn += len(ids)
        for lane, token, logprob, uncertain in zip(self._live, ids, logprobs, entropy, strict=True):
            lane.take(token, logprob, uncertain)
        if self._on_tokens is not None:
            self._on_tokens([_delta(*of) for of in zip(self._live, ids, logprobs, entropy, strict=True)])

    def _back(self, ids: Tensor, kv: Kv) -> Tensor:
        """Rows whose tokens were taken back read the token before them once more."""
        for row, lane in enumerate(self._live):
            if lane.dropped:
                kv.forget(row, lane.dropped)
                before = lane.ids[-1] if lane.ids else self._sources[lane.prompt].ids[-1]
                ids[row] = before
        return ids

    def _leave(self, last: Tensor, kv: Kv, draws: Draws | None) -> Tensor:
        """Let ended rows go; the last row takes each one's place."""
        for row in range(len(self._live) - 1, -1, -1):
            lane = self._live[row]
            if lane.ended is None:
                continue
            if self._keep:
                source = self._sources[lane.prompt]
                ids = source.ids + tuple(lane.ids)
                self._prefixes[id(lane)] = self._decoder._memory.keep(ids, source, kv, row)
            kv.drop(row)
            if draws is not None:
                draws.drop(row)
            last[row] = last[-1].clone()
            last = last[:-1]
            self._live[row] = self._live[-1]
            self._live.pop()
        return last

    def _result(self, lane: Lane) -> Generated:
        return lane.result(self._prefixes.get(id(lane)))


@contextmanager
def _threads_for(product: float, device: torch.device) -> Iterator[None]:
    """One thread while products are too small to wake others for."""
    threads = torch.get_num_threads()
    alone = device.type == "cpu" and product <= SMALL_PRODUCT
    if alone:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if alone:
            torch.set_num_threads(threads)


def _delta(lane: Lane, token: int, logprob: float, uncertain: float) -> Delta:
    """What is told of a lane's newest token; one that was taken back at once is not told at all."""
    if lane.dropped:
        return Delta(lane.prompt, lane.trace, (), (), lane.dropped - 1)
    return Delta(lane.prompt, lane.trace, (token,), (logprob,), 0, (uncertain,), lane.ended is not None)


def _stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:  # noqa: ANN401
    """The tokens that end a text, by the model's generation settings and the tokenizer."""
    kept = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found = set(kept if isinstance(kept, list | tuple) else () if kept is None else (kept,))
    of_tokenizer = getattr(tokenizer, "eos_token_id", None)
    if of_tokenizer is not None:
        found.add(of_tokenizer)
    return tuple(sorted(int(i) for i in found))


class _evaluating:
    """Switch a model to evaluation for a while."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self._model = model

    def __enter__(self) -> None:
        self._was = bool(self._model.training)
        if self._was:
            self._model.eval()

    def __exit__(self, *_: object) -> None:
        if self._was:
            self._model.train()
