"""The router: difficulty, then the fast model and how sure its answer is, then the reasoning model.

What is decided, and why, is pure: `before`, `after` and `fit`. `Router` asks the models in waves, so that many problems
are answered together: the fast model those that are not too hard for it, the reasoning model what is left. A model that
fails loses nothing: the other one's answer stands, and the route says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from trainer.contract.forms import Pick
from trainer.contract.generated import RouteStep, Spent
from trainer.contract.records import TraceRecord
from trainer.reasoning.routing import Thresholds, is_drawn
from trainer.reasoning.votes import Candidate, Equal, pick
from trainer.routing.confidence import NAMES, Signals
from trainer.routing.difficulty import Judged
from trainer.routing.values import FAST, REASONING, Backend, Check, Effort, Question, Reply, Sample, Tell

LEAST_SHARE = 0.25  # of the tokens a model usually needs; with fewer it is not asked
SEEN = 50  # answers that the pace of a model is taken from
USUAL = 0.9  # quantile of their lengths


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model is asked, and why, or why not."""

    ask: bool
    why: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """What of an effort fits into the time left; None = nothing does. `why` is "" where all fits."""

    effort: Effort | None
    why: str = ""


def before(judged: Judged | None, thresholds: Thresholds) -> Decision:
    """Whether the fast model is asked at all."""
    if judged is None:
        return Decision(True, "asked first; nobody judged the difficulty")
    said = f"P(the fast model is right) {judged.simple:.2f} before asking"
    if judged.simple < thresholds.direct:
        return Decision(False, f"asked at once: {said}, below {thresholds.direct:.2f}")
    return Decision(True, f"asked first: {said}")


def after(confidence: float | None, has_answer: bool, thresholds: Thresholds) -> Decision:
    """Whether the reasoning model is asked after the fast one."""
    if not has_answer:
        return Decision(True, "escalated: the fast model gave no answer")
    if confidence is None:
        return Decision(True, "escalated: nothing says how sure the fast model is")
    if confidence < thresholds.accept:
        return Decision(True, f"escalated: P(right) {confidence:.2f}, below {thresholds.accept:.2f}")
    return Decision(False, f"its answer stands: P(right) {confidence:.2f}, at least {thresholds.accept:.2f}")


@dataclass(slots=True)
class Pace:
    """How fast a model answers, from its last answers: seconds a token of the longest sample, and usual lengths."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def see(self, seconds: float, longest: int) -> None:
        """A wave took so long, and its longest sample has so many tokens."""
        if longest > 0:
            self.seen = [*self.seen[1 - SEEN :], (seconds, longest)]

    @property
    def known(self) -> bool:
        """Whether anything was seen."""
        return bool(self.seen)

    @property
    def seconds_a_token(self) -> float:
        """The mean over all tokens seen."""
        return sum(seconds for seconds, _ in self.seen) / sum(tokens for _, tokens in self.seen)

    @property
    def usual(self) -> int:
        """A length that most answers keep to."""
        lengths = sorted(tokens for _, tokens in self.seen)
        return lengths[min(len(lengths) - 1, int(USUAL * len(lengths)))]


def fit(effort: Effort, pace: Pace, left: float | None) -> Fitted:
    """What of an effort fits into `left` seconds: all, one sample cut short, or nothing. Unknown pace: all is tried."""
    if left is None or (left > 0 and not pace.known):
        return Fitted(effort)
    if left <= 0:
        return Fitted(None, "no time is left")
    wanted = min(effort.tokens, pace.usual)
    possible = int(left / pace.seconds_a_token)
    needs = f"about {wanted * pace.seconds_a_token:.1f} s are needed, {left:.1f} s are left"
    if possible >= wanted:
        return Fitted(effort)
    if possible >= max(2, LEAST_SHARE * wanted):
        return Fitted(effort.cut_to(possible), f"cut to one sample of {possible} tokens: {needs}")
    return Fitted(None, needs)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a router decides. `thresholds` by type of task, "" for all others; `latency` in seconds, None = no limit.

    `audit` is the share of problems for which the model that was not needed is asked too, only to measure it.
    """

    thresholds: Mapping[str, Thresholds] = field(default_factory=lambda: {"": Thresholds()})
    latency: float | None = None
    fast: Effort = Effort(n=3)
    reasoning: Effort = Effort(thinking=4096, answer=1024)
    audit: float = 0.0

    def of(self, task: str) -> Thresholds:
        """The thresholds of a type of task."""
        return self.thresholds.get(task) or self.thresholds.get("") or Thresholds()


@dataclass(slots=True)
class Routed:
    """One problem on its way, and in the end: who was asked, whose answer stands, what it lacks."""

    question: Question
    judged: Judged | None
    asked: list[RouteStep] = field(default_factory=list)
    audited: list[RouteStep] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    partial: list[TraceRecord] = field(default_factory=list)
    marked: str = ""
    seconds: float = 0.0

    def step(self, tier: str) -> RouteStep | None:
        """What a tier said on the way."""
        return next((step for step in self.asked if step.tier == tier), None)

    @property
    def answered_by(self) -> int:
        """The place of the step whose answer stands: the reasoning model's, else the fast one's, -1 for none."""
        for tier in (REASONING, FAST):
            for place, step in enumerate(self.asked):
                if step.tier == tier and step.answer is not None:
                    return place
        return -1

    @property
    def answer(self) -> str | None:
        """The answer that stands."""
        return self.asked[self.answered_by].answer if self.answered_by >= 0 else None

    @property
    def escalated(self) -> bool:
        """Whether the reasoning model was asked."""
        return self.step(REASONING) is not None

    @property
    def spent(self) -> Spent:
        """All that was asked on the way; `seconds` are those that went by until the answer stood."""
        total = sum((step.spent for step in self.asked[1:]), self.asked[0].spent) if self.asked else Spent()
        return Spent(
            tokens=total.tokens, tokens_read=total.tokens_read, prm_calls=total.prm_calls, prm_tokens=total.prm_tokens,
            seconds=self.seconds, cost=total.cost, cached=bool(self.asked) and total.cached,
        )  # fmt: skip


class Router:
    """Two models and what decides between them. Without a reasoning model the fast one's answer always stands."""

    def __init__(
        self,
        fast: Backend,
        reasoning: Backend | None,
        rules: Rules,
        *,
        confidence: Callable[[Signals], float | None],
        equal: Equal,
        judge: Callable[[str], Judged] | None = None,
        paces: Mapping[str, Pace] | None = None,
    ) -> None:
        """`paces` are those of both tiers so far."""
        self.backends = {FAST: fast} | ({REASONING: reasoning} if reasoning is not None else {})
        self.rules, self._judge, self._confidence, self._equal = rules, judge, confidence, equal
        self.paces = paces or {FAST: Pace(), REASONING: Pace()}

    def route(self, questions: Sequence[Question], check: Check, tell: Tell | None = None) -> list[Routed]:
        """Answer all. Raises only what `check` raises."""
        began = time.monotonic()
        until = None if self.rules.latency is None else began + self.rules.latency
        routes = [
            Routed(question, self._judge(question.row.problem) if self._judge else None) for question in questions
        ]
        whys = [before(route.judged, self.rules.of(route.question.task)) for route in routes]
        can_reason = REASONING in self.backends
        fast = [i for i, why in enumerate(whys) if why.ask or not can_reason]
        self._wave(FAST, routes, {i: whys[i].why for i in fast}, check, tell, None)
        self._done(routes, fast, began)
        left = {i: why.why for i, why in enumerate(whys) if i not in fast}
        left |= {i: why.why for i in fast if can_reason and (why := self._after(routes[i])).ask}
        self._reason(routes, left, began, until, check, tell)
        behind = [i for i in left if routes[i].step(FAST) is None and routes[i].answer is None]
        self._wave(FAST, routes, dict.fromkeys(behind, "asked since the reasoning model gave no answer"), check, tell)
        self._done(routes, behind, began)
        for route in routes:
            self._mark(route)
        self._audit(routes, check)
        return routes

    # -- waves --------------------------------------------------------------------------------------------------------

    def _reason(
        self,
        routes: Sequence[Routed],
        whys: Mapping[int, str],
        began: float,
        until: float | None,
        check: Check,
        tell: Tell | None,
    ) -> None:
        """Ask the reasoning model, as far as the time allows."""
        if not whys:
            return
        left = None if until is None else until - time.monotonic()
        fitted = fit(self.rules.reasoning, self.paces[REASONING], left)
        if fitted.effort is None:
            for i, why in whys.items():
                routes[i].marked = f"{why}; but no time for the reasoning model: {fitted.why}"
            return
        cut = f"; {fitted.why}" if fitted.why else ""
        self._wave(REASONING, routes, {i: why + cut for i, why in whys.items()}, check, tell, until, fitted.effort)
        self._done(routes, whys, began)

    def _wave(
        self,
        tier: str,
        routes: Sequence[Routed],
        whys: Mapping[int, str],
        check: Check,
        tell: Tell | None,
        until: float | None = None,
        effort: Effort | None = None,
    ) -> None:
        """Ask one model about several problems, and put what it said into their routes."""
        if not whys:
            return
        if effort is None:
            wanted = self._effort(tier)
            fitted = fit(wanted, self.paces[tier], self.rules.latency)
            effort = fitted.effort or replace(wanted, n=1)
            note = fitted.why if fitted.effort else f"one sample, which will be late: {fitted.why}"
            whys = {i: f"{why}; {note}" for i, why in whys.items()} if effort != wanted else whys
        hear = _numbered(tell, tuple(whys), self.rules.fast.n if tier == REASONING else 0)
        replies = self._replies(tier, [routes[i].question for i in whys], effort, check, hear, until)
        for (i, why), reply in zip(whys.items(), replies, strict=True):
            routes[i].asked.append(self._step(tier, routes[i], reply, why))
            routes[i].samples += reply.samples
            routes[i].partial += reply.partial

    def _replies(
        self,
        tier: str,
        questions: Sequence[Question],
        effort: Effort,
        check: Check,
        tell: Tell | None,
        until: float | None,
    ) -> list[Reply]:
        began = time.monotonic()
        replies = self.backends[tier].ask(questions, effort, check, tell, until)
        waited = time.monotonic() - began
        replies = [reply if reply.samples else _waited(reply, waited) for reply in replies]
        fresh = [reply for reply in replies if not reply.spent.cached]
        longest = max((sample.tokens for reply in fresh for sample in reply.samples), default=0)
        self.paces[tier].see(waited, longest)
        return replies

    def _effort(self, tier: str) -> Effort:
        return self.rules.fast if tier == FAST else self.rules.reasoning

    def _audit(self, routes: Sequence[Routed], check: Check) -> None:
        """Ask some problems' other model too, only to know what it would have said."""
        if len(self.backends) < 2 or not self.rules.audit:
            return
        for tier in (FAST, REASONING):
            rows = [r for r in routes if r.step(tier) is None and is_drawn(r.question.row.id, self.rules.audit)]
            if not rows:
                continue
            replies = self._replies(tier, [r.question for r in rows], self._effort(tier), check, None, None)
            for route, reply in zip(rows, replies, strict=True):
                route.audited.append(self._step(tier, route, reply, "asked only to measure it"))
                route.samples += reply.samples
                route.partial += reply.partial

    # -- steps --------------------------------------------------------------------------------------------------------

    def _step(self, tier: str, route: Routed, reply: Reply, why: str) -> RouteStep:
        """A reply as a step of the route: the answer of the majority, and how sure it seems."""
        answer, signals, trace = None, Signals(), ""
        if reply.samples:
            scored = [Candidate(sample.answer, sample.prm) for sample in reply.samples]
            picked = pick(scored, Pick.BEST_OF_MAJORITY, self._equal)
            chosen = reply.samples[max(picked.chosen, 0)]
            answer, trace = (chosen.answer if picked.groups else None), chosen.trace.id
            signals = Signals(
                chosen.mean,
                chosen.least,
                picked.groups[0].count / len(scored) if picked.groups and len(scored) > 1 else None,
                chosen.prm,
                route.judged.simple if route.judged is not None else None,
            )
        known = zip(NAMES, signals.values, strict=True)
        return RouteStep(
            tier=tier,
            model=self.backends[tier].name,
            answer=answer,
            confidence=self._confidence(signals) if tier == FAST and answer is not None else None,
            spent=reply.spent,
            saved=reply.saved if reply.spent.cached else None,
            why=why,
            trace=trace,
            problem=reply.problem,
            signals={name: value for name, value in known if value is not None} if answer is not None else {},
        )

    def _after(self, route: Routed) -> Decision:
        step = route.step(FAST)
        assert step is not None
        if step.problem and step.answer is None:
            return Decision(True, f"escalated: the fast model failed: {step.problem}")
        return after(step.confidence, step.answer is not None, self.rules.of(route.question.task))

    def _mark(self, route: Routed) -> None:
        """Say what an answer lacks."""
        fast, reasoning = route.step(FAST), route.step(REASONING)
        failed = [step.problem or "it wrote no answer" for step in (fast, reasoning) if step and step.answer is None]
        if route.answer is None:
            route.marked = "; ".join([part for part in (route.marked, "no model answered", *failed) if part])
        elif reasoning is not None and reasoning.answer is None:
            why = reasoning.problem or "it wrote no answer"
            route.marked = f"the reasoning model did not answer: {why}; the fast model's answer stands"
        elif route.marked:
            route.marked += "; the fast model's answer stands"
        elif fast is not None and fast.problem and fast.answer is None:
            route.marked = f"the fast model did not answer: {fast.problem}"

    @staticmethod
    def _done(routes: Sequence[Routed], places: Sequence[int] | Mapping[int, str], began: float) -> None:
        for i in places:
            routes[i].seconds = time.monotonic() - began


def _waited(reply: Reply, seconds: float) -> Reply:
    """A reply without an answer, with the time that was spent on it all the same."""
    spent = msgspec.structs.replace(reply.spent, seconds=max(seconds, reply.spent.seconds))
    return replace(reply, spent=spent)


def _numbered(tell: Tell | None, places: tuple[int, ...], first: int) -> Tell | None:
    """What is told of the questions of a wave, under their places among all and behind the traces of other models."""
    if tell is None:
        return None
    return lambda told: tell([replace(one, ask=places[one.ask], trace=first + one.trace) for one in told])
