"""The judge of the safety monitor: a local policy, or a model behind an address.

What it is asked stands in `trainer.reasoning.judging`. A question that fails leaves the row without a score: nothing
that was not judged is clean.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainer.contract.events import Level
from trainer.contract.keys import KeyMissing, Keys
from trainer.contract.records import InputRow, MonitorRef
from trainer.contract.specs.monitor import MonitorSpec
from trainer.contract.specs.rubric import RubricSpec
from trainer.models.endpoint import Ask, Endpoint, EndpointError, EndpointSettings, Price, Turn
from trainer.reasoning import consistency, judging
from trainer.reasoning.judging import Quote
from trainer.reasoning.monitor_looks import Check, Looked, text_of
from trainer.reasoning.monitor_units import locate
from trainer.reasoning.safety import CATEGORIES, Category, Finding, Part
from trainer.runtime.worker import RunFailed, Worker

NOTHING = (None,) * len(CATEGORIES)
TOP = 20  # alternatives of the first token that are asked for


class Speaker(Protocol):
    """A model that can be asked."""

    name: str
    version: str

    def write(self, prompt: str, tokens: int, check: Check) -> str:
        """A reply of at most so many tokens. Raises EndpointError."""
        ...

    def p_yes(self, prompt: str, check: Check) -> float | None:
        """P(yes) of a one-word answer; None where it said neither. Raises EndpointError."""
        ...


class Distant:
    """A model behind an OpenAI-compatible address."""

    def __init__(self, spec: MonitorSpec | RubricSpec, key: str) -> None:
        """Names are as given; nothing is asked yet."""
        price = Price(spec.price_input, spec.price_output)
        self.endpoint = Endpoint(EndpointSettings(spec.judge_url, spec.judge_model, price=price), key)
        self.name, self.version = spec.judge_model or spec.judge_url, spec.judge_url

    def write(self, prompt: str, tokens: int, check: Check) -> str:
        """The text of the first choice."""
        ask = Ask(turns=(Turn("user", prompt),), max_tokens=tokens, temperature=0.0)
        return self.endpoint.ask(ask, check=check).text

    def p_yes(self, prompt: str, check: Check) -> float | None:
        """From the log-probs of the first token where the server gives them, else 1 or 0 by its word."""
        ask = Ask(turns=(Turn("user", prompt),), max_tokens=judging.ANSWER_TOKENS, temperature=0.0, top_logprobs=TOP)
        choice = self.endpoint.ask(ask, check=check).choices[0]
        tokens = choice.tokens
        if tokens is not None and tokens.alternatives:
            for alternatives in tokens.alternatives:
                found = judging.p_yes(dict(alternatives))
                if found is not None:
                    return found
        return judging.said(choice.text)


class Local:
    """A policy of this machine."""

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

    def write(self, prompt: str, tokens: int, check: Check) -> str:
        """Drawn at a low temperature with a fixed seed."""
        from trainer.models.generate import Sampling

        ids = self._loaded.prompts.ids_of(prompt)
        sampling = Sampling(temperature=0.01, max_new_tokens=tokens)
        made = self._decoder.generate([ids], sampling, n=1, seeds=[0], check=check)
        return self._tokens.text(made[0][0].ids.tolist())

    def p_yes(self, prompt: str, check: Check) -> float | None:
        """Yes against no among the first token's probabilities."""
        check()
        ids = self._torch.tensor([self._loaded.prompts.ids_of(prompt)], device=self._device)
        with self._torch.inference_mode():
            logits = self._loaded.language.model(input_ids=ids).logits[0, -1].float()
        best = logits.log_softmax(-1).topk(min(200, len(logits)))
        texts = [self._loaded.tokenizer.decode([int(token)]) for token in best.indices]
        mass: dict[str, float] = {}
        for text, logprob in zip(texts, best.values.tolist(), strict=True):
            mass.setdefault(text, logprob)
        return judging.p_yes(mass)


@dataclass(slots=True)
class Judge:
    """Asks a speaker about rows; `ref` says who judges."""

    worker: Worker
    spec: MonitorSpec
    speaker: Speaker
    ref: MonitorRef
    judged: int = 0
    made_up: int = 0
    failed: int = 0

    def look(self, row: InputRow, check: Check) -> Looked:
        """Passages first, then a verdict by category on those that stand in the text."""
        text = text_of(row)
        gap = consistency.gap_of(consistency.responses(text, row.messages))
        places = locate(text, row.steps)
        if self.spec.judge_limit and self.judged >= self.spec.judge_limit:
            return Looked((), (NOTHING, NOTHING, NOTHING), gap, None, places)
        self.judged += 1
        try:
            quotes = self._quotes(row.problem, text, check)
            scores = self._verdicts(row.problem, text, quotes, check)
        except EndpointError as error:
            self.failed += 1
            self.worker.notice(Level.ERROR, "judge_failed", f"row {row.id} was not judged: {error}")
            return Looked((), (NOTHING, NOTHING, NOTHING), gap, None, places)
        findings = tuple(
            Finding(
                quote.category,
                2 if score >= 0.9 else 1,
                quote.span.start,
                quote.span.end,
                quote.span.of(text),
                "a judge says that it shows " + quote.category.value,
                score=score,
                part=Part.THINKING if _is_thinking(text, row, quote.span.start) else Part.ANSWER,
            )
            for quote in quotes
            if (score := scores[quote.category.place]) is not None and score >= self.spec.lowest
        )
        return Looked(findings, (scores, NOTHING, NOTHING), gap, None, places)

    def _quotes(self, problem: str, text: str, check: Check) -> tuple[Quote, ...]:
        found: dict[tuple[Category, int], Quote] = {}
        for window in judging.windows(text, self.spec.judge_tokens):
            prompt = judging.extraction_prompt(problem, window.of(text))
            extracted = judging.quotes_in(self.speaker.write(prompt, judging.QUOTES_TOKENS, check), text, window)
            self.made_up += extracted.made_up
            for quote in extracted.quotes:
                found.setdefault((quote.category, quote.span.start), quote)
        return tuple(found.values())

    def _verdicts(self, problem: str, text: str, quotes: Sequence[Quote], check: Check) -> tuple[float | None, ...]:
        """0 for a category without a passage, P(yes) for the others, None where the answer was neither yes nor no."""
        out: list[float | None] = []
        for category in CATEGORIES:
            mine = [quote.span.of(text) for quote in quotes if quote.category is category]
            out.append(self.speaker.p_yes(judging.verdict_prompt(category, problem, mine), check) if mine else 0.0)
        return tuple(out)


def judge_of(worker: Worker, spec: MonitorSpec) -> Judge:
    """The judge that a run asks for; tells the expected cost first. Raises RunFailed."""
    lengths = [len(text_of(row)) for row in worker.folder.read_input()]
    if spec.judge_limit:
        lengths = lengths[: spec.judge_limit]
    expected = judging.cost(lengths, spec.judge_tokens, price_input=spec.price_input, price_output=spec.price_output)
    worker.notice(Level.INFO, "judge_cost", expected.sentence(), questions=expected.questions)
    speaker: Speaker
    if spec.judge_url:
        try:
            speaker = Distant(spec, Keys.handed(sys.stdin.buffer).of(spec.judge_key))
        except (KeyMissing, ValueError) as error:
            raise RunFailed(str(error)) from error
    else:
        given = {model.role: model for model in worker.spec.models}.get("judge")
        source = str(worker.folder.path / given.path) if given else spec.judge
        version = given.checksum if given else spec.judge
        speaker = Local(worker, source, (given.name if given else "") or spec.judge, version, spec.seed)
    ref = MonitorRef(kind="judge", name=speaker.name, version=f"{judging.VERSION}:{speaker.version}"[:80])
    return Judge(worker, spec, speaker, ref)


def _is_thinking(text: str, row: InputRow, place: int) -> bool:
    """Whether this code point belongs to the thinking."""
    return any(
        piece.part is Part.THINKING and piece.start <= place < piece.end
        for response in consistency.responses(text, row.messages)
        for piece in response.pieces
    )
