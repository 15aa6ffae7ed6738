"""Models that judges ask: a policy of this machine, or a model behind an address. Many questions go together.

Answers come as they are ready, each with the place of its question, and are what asking one by one gives: an address
has several requests open at once within its limits, a policy writes a batch of replies together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from trainer.contract.keys import KeyMissing, Keys
from trainer.contract.specs.monitor import MonitorSpec
from trainer.contract.specs.rubric import RubricSpec
from trainer.models.endpoint import Ask, Choice, Endpoint, EndpointError, EndpointSettings, Limits, Price, Turn
from trainer.reasoning import judging
from trainer.runtime.worker import RunFailed, Worker

TOP = 20  # alternatives of the first token that are asked for
TOGETHER = 8  # rows that a policy is asked about at once
TOKENS_AT_ONCE = 16_384  # of the prompts of a batch with its padding; one longer prompt goes alone
T = TypeVar("T")
Check = Callable[[], None]
Replies = Iterator[tuple[int, str | EndpointError]]
Chances = Iterator[tuple[int, float | EndpointError | None]]


def in_order(answers: Iterator[tuple[int, T]], number: int) -> list[T]:
    """All of so many answers in the order of their questions."""
    found = dict(answers)
    return [found[place] for place in range(number)]


class Speaker(Protocol):
    """A model that can be asked."""

    name: str
    version: str
    together: int  # rows whose questions are worth asking at once

    def write(self, prompts: Sequence[str], tokens: int, check: Check) -> Replies:
        """Replies of at most so many tokens, or why there is none, each with its prompt's place."""
        ...

    def p_yes(self, prompts: Sequence[str], check: Check) -> Chances:
        """P(yes) of one-word answers, None where one said neither, or why there is none, with the prompt's place."""
        ...


class Distant:
    """A model behind an OpenAI-compatible address."""

    def __init__(self, spec: MonitorSpec | RubricSpec, key: str) -> None:
        """Names are as given; nothing is asked yet."""
        price = Price(spec.price_input, spec.price_output)
        limits = Limits(requests=spec.requests_a_minute, parallel=spec.parallel)
        settings = EndpointSettings(spec.judge_url, spec.judge_model, limits=limits, price=price)
        self.endpoint = Endpoint(settings, key)
        self.name, self.version = spec.judge_model or spec.judge_url, spec.judge_url
        self.together = 2 * spec.parallel  # while the last answers of some are awaited, others are under way

    def write(self, prompts: Sequence[str], tokens: int, check: Check) -> Replies:
        """The texts of the first choices."""
        asks = [Ask(turns=(Turn("user", prompt),), max_tokens=tokens, temperature=0.0) for prompt in prompts]
        for place, reply in self.endpoint.ask_many(asks, check=check):
            yield place, reply if isinstance(reply, EndpointError) else reply.text

    def p_yes(self, prompts: Sequence[str], check: Check) -> Chances:
        """From the log-probs of the first token where the server gives them, else 1 or 0 by its word."""
        asks = [
            Ask(turns=(Turn("user", prompt),), max_tokens=judging.ANSWER_TOKENS, temperature=0.0, top_logprobs=TOP)
            for prompt in prompts
        ]
        for place, reply in self.endpoint.ask_many(asks, check=check):
            yield place, reply if isinstance(reply, EndpointError) else _chance(reply.choices[0])


def _chance(choice: Choice) -> float | None:
    for alternatives in choice.tokens.alternatives or () if choice.tokens is not None else ():
        found = judging.p_yes(dict(alternatives))
        if found is not None:
            return found
    return judging.said(choice.text)


class Local:
    """A policy of this machine."""

    together = TOGETHER

    def __init__(self, worker: Worker, source: str, name: str, version: str, seed: int) -> None:
        """Loads it. Raises RunFailed."""
        import torch
        from accelerate import Accelerator

        from trainer.models.generate import Decoder
        from trainer.models.load import ModelError
        from trainer.models.policies import load_policy
        from trainer.models.response_tokens import ResponseTokens

        worker.progress("loading the judge", 0, 1, unit="models", force=True)
        try:
            self._loaded = load_policy(source, seed=seed)
        except ModelError as error:
            raise RunFailed(str(error)) from error
        self._torch: Any = torch
        self._device = Accelerator(cpu=worker.spec.device == "cpu").device
        self._loaded.language.to(self._device).eval()
        self._decoder = Decoder(self._loaded.language.model, self._loaded.tokenizer, frozen=True)
        self._tokens = ResponseTokens(self._loaded.tokenizer)
        self.name, self.version = name, version

    def write(self, prompts: Sequence[str], tokens: int, check: Check) -> Replies:
        """Drawn at a low temperature with a fixed seed: a reply does not depend on what is written beside it."""
        from trainer.models.generate import Sampling

        ids = [self._loaded.prompts.ids_of(prompt) for prompt in prompts]
        sampling = Sampling(temperature=0.01, max_new_tokens=tokens)
        for places in in_batches([len(each) + tokens for each in ids]):
            batch = [ids[place] for place in places]
            made = self._decoder.generate(batch, sampling, n=1, seeds=[0] * len(batch), check=check)
            for place, written in zip(places, made, strict=True):
                yield place, self._tokens.text(written[0].ids.tolist())

    def p_yes(self, prompts: Sequence[str], check: Check) -> Chances:
        """Yes against no among the first token's probabilities."""
        ids = [self._loaded.prompts.ids_of(prompt) for prompt in prompts]
        for places in in_batches([len(each) for each in ids]):
            check()
            for place, logits in zip(places, self._after([ids[place] for place in places]), strict=True):
                best = logits.log_softmax(-1).topk(min(200, len(logits)))
                texts = [self._loaded.tokenizer.decode([int(token)]) for token in best.indices]
                mass: dict[str, float] = {}
                for text, logprob in zip(texts, best.values.tolist(), strict=True):
                    mass.setdefault(text, logprob)
                yield place, judging.p_yes(mass)

    def _after(self, rows: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - a tensor [rows, vocabulary]
        """The logits behind the last token of each row; what is shorter is padded behind, where nothing looks."""
        torch = self._torch
        ends = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        ids = torch.zeros((len(rows), int(ends.max()) + 1), dtype=torch.long, device=self._device)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row, device=self._device)
        kept, which = ends.unique(return_inverse=True)
        real = torch.arange(ids.shape[1], device=self._device) <= ends[:, None]
        with torch.inference_mode():
            model = self._loaded.language.model
            logits = model(input_ids=ids, attention_mask=real.long(), logits_to_keep=kept).logits
        return logits[torch.arange(len(rows), device=self._device), which].float()


def in_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts of like length, the shortest first, as many as fit into TOKENS_AT_ONCE with their padding."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batch and (len(batch) + 1) * lengths[place] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def speaker_of(worker: Worker, spec: MonitorSpec | RubricSpec) -> Speaker:
    """Who a run's settings say is to judge. Raises RunFailed."""
    if spec.judge_url:
        try:
            return Distant(spec, Keys.handed(sys.stdin.buffer).of(spec.judge_key))
        except (KeyMissing, ValueError) as error:
            raise RunFailed(str(error)) from error
    given = {model.role: model for model in worker.spec.models}.get("judge")
    source = str(worker.folder.path / given.path) if given else spec.judge
    version = given.checksum if given else spec.judge
    return Local(worker, source, (given.name if given else "") or spec.judge, version, spec.seed)
