"""Who is asked, in what order, and why: the decisions by themselves, then the router over models that say as told."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest

from tests.unit.routing.simulated import Says, one, router, row, same, sample
from trainer.contract.generated import Spent
from trainer.reasoning.routing import Thresholds, is_drawn
from trainer.routing.confidence import NAMES, Signals
from trainer.routing.difficulty import Judged
from trainer.routing.ledger import both_of, route_record
from trainer.routing.router import Fitted, Pace, Routed, Router, Rules, after, before, fit
from trainer.routing.values import FAST, REASONING, Effort, OutOfTime, Question, Reply, timed

EASY, HARD = Judged(0.1, 0.85, 0.05), Judged(0.9, 0.15, 0.8)


def test_the_decisions():
    limits = Thresholds(direct=0.2, accept=0.7)
    assert before(None, limits).ask
    assert before(EASY, limits).ask
    assert not before(HARD, limits).ask
    assert before(HARD, Thresholds(direct=HARD.simple, accept=0.7)).ask
    assert before(HARD, limits).why == "asked at once: P(the fast model is right) 0.15 before asking, below 0.20"
    assert not after(0.7, True, limits).ask
    assert after(0.69, True, limits).ask
    assert after(None, True, limits).ask
    assert after(0.99, False, limits).why == "escalated: the fast model gave no answer"


def test_what_fits_into_the_time_left():
    effort, pace = Effort(n=3, thinking=300, answer=100), Pace()
    assert fit(effort, pace, None) == Fitted(effort)
    assert fit(effort, pace, 0.1) == Fitted(effort)  # nothing is known: it is tried
    for _ in range(10):
        pace.see(2.0, 200)  # 10 ms a token, 200 tokens each
    assert fit(effort, pace, 2.0) == Fitted(effort)
    cut = fit(effort, pace, 1.0)
    assert cut.effort == Effort(n=1, thinking=75, answer=25)
    assert cut.why == "cut to one sample of 100 tokens: about 2.0 s are needed, 1.0 s are left"
    assert fit(effort, pace, 0.4).effort is None
    for left in (0.0, -1.0):
        assert fit(effort, pace, left) == fit(effort, Pace(), left) == Fitted(None, "no time is left")
    short = Pace([(2.0, 8)])  # a quarter of the 8 tokens that are usual is worth a try, one token never is
    assert fit(effort, short, 0.5).effort == effort.cut_to(2)
    assert fit(effort, short, 0.25).effort is None
    assert fit(effort, Pace([(1.0, 2)]), 0.5).effort is None


def test_thresholds_are_those_of_the_task_of_all_others_or_the_usual():
    code, others = Thresholds(0.1, 0.2), Thresholds(0.3, 0.4)
    assert [Rules({"": others, "code": code}).of(task) for task in ("code", "sums", "")] == [code, others, others]
    assert Rules({"code": code}).of("sums") == Thresholds()


def test_the_pace_is_that_of_the_last_answers():
    pace = Pace()
    for k in range(200):
        pace.see(1.0, 1000 if k < 100 else 100)
    assert pace.usual == 100
    assert pace.seconds_a_token == pytest.approx(0.01)
    assert len(pace.seen) == 50
    for tokens in (30, *range(1, 20), 20):  # nine of ten of 21 keep to 19
        pace.see(0.5, tokens)
    pace.seen = pace.seen[-21:]
    assert pace.usual == 19
    assert Pace([(1.0, 7)]).usual == 7
    pace.seen = [(1.0, 100)] * 50
    pace.see(1.0, 0)  # nothing was drawn: nothing is learned
    assert pace.seconds_a_token == pytest.approx(0.01)


def test_a_sure_answer_of_the_fast_model_stands():
    fast, reasoning = Says(("4",)), Says(("5",), name="large")
    route = one(router(fast, reasoning))
    assert (route.answer, route.escalated, route.marked) == ("4", False, "")
    assert [step.why for step in route.asked] == ["asked first; nobody judged the difficulty"]
    assert reasoning.asked == []


def test_an_unsure_one_escalates_and_both_are_paid():
    route = one(router(Says(("4",)), Says(("5",), name="large", cost=9.0), 0.4))
    assert (route.answer, route.answered_by, route.escalated) == ("5", 1, True)
    assert route.asked[1].why == "escalated: P(right) 0.40, below 0.70"
    assert [step.confidence for step in route.asked] == [0.4, None]
    assert (route.spent.cost, route.spent.tokens) == (10.0, 10)


def test_a_hard_problem_goes_to_the_reasoning_model_at_once_and_others_do_not():
    fast, reasoning = Says(("4",)), Says(("5",), name="large")
    made = Router(
        fast, reasoning, Rules({"": Thresholds(0.2, 0.7), "code": Thresholds(0.0, 0.7)}),
        confidence=lambda _: 0.9, equal=same, judge=lambda problem: HARD if "hard" in problem else EASY,
    )  # fmt: skip
    questions = [Question(row("easy")), Question(row("hard")), Question(row("hard code"), task="code")]
    routes = made.route(questions, lambda: None)
    assert [route.answer for route in routes] == ["4", "5", "4"]
    assert fast.asked[0][0] == ("easy", "hard code")  # together
    assert [len(route.asked) for route in routes] == [1, 1, 1]
    assert routes[0].asked[0].signals["before"] == 0.85


@pytest.mark.parametrize(
    ("fast", "wanted"), [(("4", "5", "5"), "5"), (("4", None, None), "4"), ((None, None), None), (("4",), "4")]
)
def test_the_majority_of_the_samples_answers(fast: tuple[str | None, ...], wanted: str | None):
    seen: list[Signals] = []

    def confidence(signals: Signals) -> float:
        seen.append(signals)
        return 1.0

    made = Router(Says(fast), None, Rules(), confidence=confidence, equal=same)
    assert one(made).answer == wanted
    agreement = {("4", "5", "5"): [2 / 3], ("4", None, None): [1 / 3], (None, None): [], ("4",): [None]}[fast]
    assert [signals.agreement for signals in seen] == agreement
    known = {NAMES[0]: -0.1, NAMES[1]: -0.1} | ({NAMES[2]: agreement[0]} if agreement and agreement[0] else {})
    assert one(made).asked[0].signals == (known if wanted else {})


def test_a_fast_model_that_fails_is_replaced_and_it_is_said():
    route = one(router(Says(problem="it is down"), Says(("5",), name="large")))
    assert route.answer == "5"
    assert route.asked[1].why == "escalated: the fast model failed: it is down"
    assert route.marked == "the fast model did not answer: it is down"
    silent = one(router(Says((None,)), Says(("5",), name="large")))
    assert (silent.answer, silent.marked) == ("5", "")
    assert silent.asked[1].why == "escalated: the fast model gave no answer"


def test_an_answer_of_the_samples_that_are_left_is_an_answer():
    class Short(Says):
        def _reply(self, question: Question) -> Reply:
            return replace(super()._reply(question), problem="one of two samples failed")

    for confidence, answer, why in ((0.9, "4", None), (0.1, "5", "escalated: P(right) 0.10, below 0.70")):
        route = one(router(Short(("4",)), Says(("5",), name="large"), confidence))
        assert (route.answer, route.marked) == (answer, "")
        assert [step.why for step in route.asked[1:]] == ([why] if why else [])


def test_a_reasoning_model_that_fails_at_once_leaves_the_fast_one_to_answer():
    made = Router(
        Says(("4",)), Says(problem="it is down", name="large"), Rules({"": Thresholds(0.5, 0.7)}),
        confidence=lambda _: 0.1, equal=same, judge=lambda _: HARD,
    )  # fmt: skip
    route = one(made)
    assert [step.tier for step in route.asked] == [REASONING, FAST]
    assert (route.answer, route.answered_by) == ("4", 1)
    assert route.marked == "the reasoning model did not answer: it is down; the fast model's answer stands"


def test_when_nobody_answers_everything_is_told():
    fast = Says(problem="it is down")
    route = one(router(fast, Says(problem="so is this", name="large")))
    assert (route.answer, route.answered_by) == (None, -1)
    assert len(fast.asked) == 1, "it is not asked again"
    assert route.marked == "no model answered; it is down; so is this"
    alone = one(router(Says((None,)), None))
    assert (alone.answer, alone.marked) == (None, "no model answered; it wrote no answer")


def test_without_time_the_reasoning_model_is_not_asked():
    fast, reasoning = Says(("4",)), Says(("5",), name="large")
    made = router(fast, reasoning, 0.4, latency=3.0)
    made.paces[REASONING].see(10.0, 1000)  # it would take 10 s
    made.rules = Rules(latency=1.0, fast=Effort(n=1), reasoning=Effort(n=1, thinking=900, answer=100))
    route = one(made)
    assert (route.answer, reasoning.asked) == ("4", [])
    assert route.marked.startswith(
        "escalated: P(right) 0.40, below 0.70; but no time for the reasoning model: about 10.0"
    )
    assert route.marked.endswith("s are left; the fast model's answer stands")


def test_with_little_time_the_reasoning_model_is_cut():
    reasoning = Says(("5",), name="large")
    made = router(Says(("4",)), reasoning, 0.4)
    made.paces[REASONING].see(10.0, 1000)
    made.rules = Rules(latency=5.5, fast=Effort(n=1), reasoning=Effort(n=4, thinking=900, answer=100))
    route = one(made)
    assert route.answer == "5"
    effort = reasoning.asked[0][1]
    assert effort.n == 1
    assert 450 <= effort.tokens <= 550
    assert "cut to one sample of" in route.asked[1].why


@pytest.mark.parametrize(
    ("latency", "asked", "why"),
    [
        (20.0, Effort(n=3, thinking=900, answer=100), ""),
        (5.0, Effort(n=1, thinking=450, answer=50), "; cut to one sample of 500 tokens: about 10.0 s are needed, 5.0"),
        (1.0, Effort(n=1, thinking=900, answer=100), "; one sample, which will be late: about 10.0 s are needed, 1.0"),
    ],
)
def test_the_fast_model_is_asked_whatever_the_time_and_cut_to_it(latency: float, asked: Effort, why: str):
    fast = Says(("4",))
    made = router(fast, None)
    made.rules = Rules(latency=latency, fast=Effort(n=3, thinking=900, answer=100))
    made.paces[FAST].see(10.0, 1000)
    route = one(made)
    assert (route.answer, fast.asked[0][1]) == ("4", asked)
    assert route.asked[0].why.removeprefix("asked first; nobody judged the difficulty").startswith(why)
    assert bool(why) == (route.asked[0].why != "asked first; nobody judged the difficulty")


def test_without_a_reasoning_model_the_fast_one_is_asked_of_hard_problems_too():
    made = Router(Says(), None, Rules({"": Thresholds(0.5, 0.7)}, audit=1.0), confidence=lambda _: 0.1, equal=same,
                  judge=lambda _: HARD)  # fmt: skip
    route = one(made)
    assert (route.answer, route.audited) == ("4", [])


def test_what_went_by_until_the_answer_stood_is_its_time():
    def slowly() -> None:
        time.sleep(0.02)

    (failed,) = one(router(Says(problem="it is down", took=slowly), None)).asked
    assert failed.spent.seconds >= 0.02, "time without an answer is spent all the same"
    route = one(router(Says(("4",), took=slowly), Says(("5",), name="large", took=slowly), 0.1))
    assert route.spent.seconds >= 0.04
    behind = Router(
        Says(("4",), took=slowly), Says(problem="it is down", name="large", took=slowly),
        Rules({"": Thresholds(0.5, 1)}), confidence=lambda _: 0.1, equal=same, judge=lambda _: HARD,
    )  # fmt: skip
    assert one(behind).spent.seconds >= 0.04
    assert Routed(Question(row("a")), None).spent == Spent()
    assert Routed(Question(row("a")), None).answer is None


def test_the_pace_is_learned_of_answers_that_were_not_cached():
    made = router(Says(("4", "5", "5")), None)
    one(made)
    assert [tokens for _, tokens in made.paces[FAST].seen] == [5]

    class Kept(Says):
        def _reply(self, question: Question) -> Reply:
            return replace(super()._reply(question), spent=Spent(cached=True))

    paces = {FAST: Pace(), REASONING: Pace()}
    one(Router(Kept(), None, Rules(), confidence=lambda _: 0.9, equal=same, paces=paces))
    assert not paces[FAST].known
    one(Router(Says(), None, Rules(), confidence=lambda _: 0.9, equal=same, paces=paces))
    assert paces[FAST].known


def test_every_trace_is_kept_and_told_under_its_question_and_number():
    @dataclass(frozen=True)
    class Piece:
        ask: int
        trace: int

    class Telling(Says):
        def ask(self, questions, effort, check, tell, until):  # type: ignore[no-untyped-def]
            if tell is not None:
                tell([Piece(k, n) for k in range(len(questions)) for n in range(len(self.answers))])
            return super().ask(questions, effort, check, tell, until)

        def _reply(self, question: Question) -> Reply:
            broken = sample(f"{self.name} {question.row.id} broken", None).trace
            return replace(super()._reply(question), partial=(broken,))

    told: list[Piece] = []
    sure = iter([0.9, 0.1, 0.9])
    made = Router(
        Telling(("4", "4")), Telling(("5",), name="large"), Rules(fast=Effort(n=2), audit=1.0),
        confidence=lambda _: next(sure), equal=same,
    )  # fmt: skip
    routes = made.route([Question(row(name)) for name in "abc"], lambda: None, told.extend)  # type: ignore[arg-type]
    assert told == [*(Piece(k, n) for k in range(3) for n in range(2)), Piece(1, 2)]
    assert [len(route.audited) for route in routes] == [1, 0, 1]
    for route in routes:
        name = route.question.row.id
        assert [each.trace.id for each in route.samples] == [f"fast {name} 0", f"fast {name} 1", f"large {name} 0"]
        assert [each.id for each in route.partial] == [f"fast {name} broken", f"large {name} broken"]
    assert [asked[0] for asked in made.backends[REASONING].asked] == [("b",), ("a", "c")]  # type: ignore[attr-defined]
    assert [asked[1] for asked in made.backends[REASONING].asked] == [made.rules.reasoning] * 2  # type: ignore[attr-defined]
    assert len(made.backends[FAST].asked) == 1  # type: ignore[attr-defined]


def test_a_cancel_goes_through():
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        router(Says(), Says()).route([Question(row("a"))], stop)
    for until in (None, time.monotonic() + 600, time.monotonic()):
        with pytest.raises(Stop):
            timed(stop, until)()
    timed(lambda: None, time.monotonic() + 600)()
    with pytest.raises(OutOfTime):
        timed(lambda: None, time.monotonic())()


def test_tokens_are_cut_in_proportion_and_an_answer_keeps_one():
    effort = Effort(n=3, thinking=300, answer=100)
    cut = [effort.cut_to(tokens) for tokens in (202, 101, 1)]
    assert [(each.n, each.thinking, each.answer) for each in cut] == [(1, 152, 50), (1, 76, 25), (1, 0, 1)]


def test_the_audit_asks_the_other_model_of_the_same_share_for_ever():
    fast, reasoning = Says(("4",)), Says(("5",), name="large")
    made = router(fast, reasoning, 0.9, audit=0.3)
    questions = [Question(row(f"r{k}", f"problem {k}", "4")) for k in range(300)]
    routes = made.route(questions, lambda: None)
    drawn = {route.question.row.id for route in routes if route.audited}
    assert drawn == {f"r{k}" for k in range(300) if is_drawn(f"r{k}", 0.3)}
    assert 60 < len(drawn) < 120
    assert all(route.spent.cost == 1.0 for route in routes)  # the audit is not the answer's cost
    records = [route_record("run", route, lambda answer: answer == "4", {"audit": 0.3}) for route in routes]
    both = both_of(records)
    assert both is not None
    assert len(both) == len(drawn)
    assert both.fast_right.all()
    assert not both.reasoning_right.any()


def test_what_a_cached_route_spends():
    class Free(Says):
        def ask(self, *of):  # type: ignore[no-untyped-def]
            replies = super().ask(*of)
            return [type(reply)(reply.samples, Spent(cached=True), saved=reply.spent) for reply in replies]

    route = one(router(Free(("4",)), None))
    assert route.spent.cached
    assert route.asked[0].saved == Spent(tokens=5, cost=1.0) == route.asked[0].worth
    assert one(router(Says(("4",)), None)).asked[0].saved is None
    assert one(router(Free(("4",)), Says(("5",)), 0.1)).spent.cached is False
