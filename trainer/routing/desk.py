"""What a run needs to route: its models, here or behind addresses, its learned router, its cache."""

from __future__ import annotations

import sys
from pathlib import Path

from accelerate import Accelerator

from trainer.contract.events import Level
from trainer.contract.keys import KeyMissing, Keys
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import sha256_of_folder
from trainer.contract.specs.generate import TellAnswer
from trainer.contract.specs.route import RouteSpec, RouteTask, Speaks
from trainer.models.asking import Manner
from trainer.models.endpoint import Dialect, Endpoint, EndpointSettings, Limits, Price, Retries, Timeouts
from trainer.models.load import ModelError, load_prm
from trainer.models.writers import load_writer
from trainer.reasoning.routing import Thresholds
from trainer.reasoning.votes import Equal
from trainer.routing.backends import Distant, Local, Place
from trainer.routing.cache import Cached
from trainer.routing.confidence import plain
from trainer.routing.difficulty import Difficulty
from trainer.routing.learning import Learned, RouterFileError, choices, load
from trainer.routing.router import Pace, Router, Rules
from trainer.routing.scoring import Scored
from trainer.routing.values import FAST, REASONING, Backend, Effort
from trainer.runtime.worker import RunFailed, Worker

DIALECTS = {Speaks.CHAT: Dialect.CHAT, Speaks.COMPLETIONS: Dialect.COMPLETIONS, Speaks.ANTHROPIC: Dialect.MESSAGES}


class Desk:
    """The models of a run, loaded once; a router for the settings of each request."""

    def __init__(self, worker: Worker, spec: RouteSpec, equal: Equal) -> None:
        """Raises RunFailed."""
        self._worker, self._equal = worker, equal
        self._keys = Keys.handed(sys.stdin.buffer)
        fast = self._backend(spec, FAST)
        if fast is None:
            raise RunFailed("no fast model chosen; set `model` to a policy, or `fast_url` to an address")
        self._backends: dict[str, Backend] = {FAST: self._scored(spec, fast)}
        if (reasoning := self._backend(spec, REASONING)) is not None:
            self._backends[REASONING] = reasoning
        elif spec.task is RouteTask.LEARN:
            raise RunFailed("learning asks two models; set `reasoning` to a policy, or `reasoning_url` to an address")
        self._cached = {tier: self._behind_cache(spec, backend) for tier, backend in self._backends.items()}
        self._learned = self._load(spec)
        self._difficulty = None if self._learned is None else Difficulty(self._learned.difficulty)
        self._paces = {FAST: Pace(), REASONING: Pace()}

    @property
    def version(self) -> str:
        """Of the learned router, "" for none."""
        return self._learned.router.version if self._learned is not None else ""

    def audit(self, spec: RouteSpec) -> float:
        """The share of problems that both models are asked; all of them for learning."""
        return 1.0 if spec.task is RouteTask.LEARN else spec.audit

    def router(self, spec: RouteSpec) -> Router:
        """For these settings."""
        backends: dict[str, Backend] = {**self._cached} if spec.cache else self._backends
        for cached in self._cached.values():
            cached.days = spec.cache_days
        learned = self._learned
        drawn = {"temperature": spec.temperature, "top_p": spec.top_p}
        rules = Rules(
            thresholds=self._thresholds(spec),
            latency=spec.latency or None,
            fast=Effort(spec.n, spec.max_thinking_tokens, spec.max_answer_tokens, **drawn, seed=spec.seed),
            reasoning=Effort(
                spec.reasoning_n, spec.reasoning_thinking_tokens, spec.reasoning_answer_tokens, **drawn, seed=spec.seed
            ),
            audit=self.audit(spec),
        )
        return Router(
            backends[FAST],
            backends.get(REASONING),
            rules,
            confidence=plain if learned is None else learned.router.confidence,
            equal=self._equal,
            judge=None if self._difficulty is None else self._difficulty.judge,
            paces=self._paces,
        )

    def cache_figures(self) -> dict[str, float]:
        """Hits among the lookups of this attempt."""
        hits = sum(cached.looked.hits for cached in self._cached.values())
        lookups = hits + sum(cached.looked.misses for cached in self._cached.values())
        return {"cache_hits": hits / lookups} if lookups else {}

    def _thresholds(self, spec: RouteSpec) -> dict[str, Thresholds]:
        if self._learned is None:
            return {"": Thresholds(0.0, spec.accept)}
        return choices(self._learned.router.table, spec.target, spec.target_value).thresholds

    # -- models -------------------------------------------------------------------------------------------------------

    def _backend(self, spec: RouteSpec, tier: str) -> Backend | None:
        """The model of a tier: an address if one is given, else a policy; None for neither."""
        place = Place(self._worker.spec.run, tier)
        price = Price(getattr(spec, f"{tier}_price_input"), getattr(spec, f"{tier}_price_output"))
        if url := getattr(spec, f"{tier}_url"):
            return self._distant(spec, tier, url, price, place)
        role = "model" if tier == FAST else REASONING
        source = str(getattr(spec, role))
        given = self._given(role)
        if not (source or given):
            return None
        name = (given.name if given else "") or source
        rows = spec.batch_rows * max(spec.n, spec.reasoning_n)
        writer = load_writer(self._worker, role=role, manner=Manner(tell_answer=TellAnswer.STRANGERS), rows=rows)
        return Local(writer, name, f"policy {self._checksum(given, source)}", place, price)

    def _distant(self, spec: RouteSpec, tier: str, url: str, price: Price, place: Place) -> Distant:
        settings = EndpointSettings(
            url,
            getattr(spec, f"{tier}_name"),
            dialect=DIALECTS[getattr(spec, f"{tier}_speaks")],
            timeouts=Timeouts(first=spec.timeout, between=spec.timeout, total=spec.timeout),
            retries=Retries(most=spec.tries - 1),
            limits=Limits(requests=spec.requests_a_minute, parallel=spec.parallel),
            price=price,
        )
        try:
            return Distant(Endpoint(settings, self._keys.of(getattr(spec, f"{tier}_key"))), place)
        except KeyMissing as error:
            raise RunFailed(str(error)) from error

    def _scored(self, spec: RouteSpec, fast: Backend) -> Backend:
        """The fast model with the PRM behind it, where there is one."""
        given = self._given("prm")
        if not (spec.prm or given):
            return fast
        source = str(self._worker.folder.path / given.path) if given else spec.prm
        try:
            loaded = load_prm(source)
        except ModelError as error:
            raise RunFailed(str(error)) from error
        loaded.prm.to(Accelerator(cpu=self._worker.spec.device == "cpu").device)
        return Scored(fast, loaded, self._checksum(given, source))

    def _behind_cache(self, spec: RouteSpec, backend: Backend) -> Cached:
        folder = Path(spec.cache_folder) if spec.cache_folder else self._worker.folder.path / "cache"
        return Cached(backend, folder, on_problem=self._tell_cache)

    def _tell_cache(self, text: str) -> None:
        self._worker.notice(Level.WARNING, "cache", text)

    def _load(self, spec: RouteSpec) -> Learned | None:
        """The learned router; a word of warning where it was learned with other models."""
        given = self._given("router")
        if not (spec.router or given):
            return None
        try:
            learned = load(self._worker.folder.path / given.path if given else Path(spec.router))
        except RouterFileError as error:
            raise RunFailed(str(error)) from error
        here = {tier: backend.name for tier, backend in self._backends.items()}
        there = {FAST: learned.router.fast, REASONING: learned.router.reasoning}
        other = [f"{there[tier]}, not {name}" for tier, name in here.items() if there[tier] != name]
        if other:
            text = f"the router was learned with {'; '.join(other)}: its confidence may not hold; learn one for these"
            self._worker.notice(Level.WARNING, "router_of_others", text)
        return learned

    def _given(self, role: str) -> ModelRef | None:
        return next((model for model in self._worker.spec.models if model.role == role), None)

    @staticmethod
    def _checksum(given: ModelRef | None, source: str) -> str:
        if given is not None:
            return given.checksum
        return sha256_of_folder(Path(source)) if Path(source).is_dir() else source
