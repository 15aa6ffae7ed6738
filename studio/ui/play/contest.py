"""Best-of-n of a small model against one pass of a larger: asked of resident runs, compared out of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from PySide6.QtCore import QObject, Qt, Signal
from sqlalchemy import Connection, select

from studio.domain import new_uid
from studio.errors import RunError
from studio.jobs.asking import row_of
from studio.jobs.needs import weights_of
from studio.jobs.shipped import Example
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, RunOrder, Stage
from studio.store import runs, searches
from studio.store import schema as s
from studio.store.models import StoredModel
from studio.ui.context import Context
from studio.ui.play.values import Budgets
from trainer.contract.records import SearchRecord, Split, record_id
from trainer.contract.requests import SearchRequest
from trainer.reasoning.cost_accuracy import Attempted, Contest, Models, PlannedRun, attempted, contest, plan
from trainer.reasoning.tries import TRY_COUNT, TRY_SEED, make_tries, try_row


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared, on which problems; `n` traces of the small one."""

    small: StoredModel
    prm: StoredModel
    large: StoredModel
    problems: tuple[Example, ...]
    budgets: Budgets
    n: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class _Ask:
    """One search that is needed."""

    example: Example
    planned: PlannedRun


def unseen(count: int) -> tuple[Example, ...]:
    """Problems of the kind that the shipped policy knows, of those it was not taught."""
    tried = make_tries(TRY_COUNT, seed=TRY_SEED, keeps_checking=True, any_order=True)
    rows = (try_row(each, number) for number, each in enumerate(tried))
    test = islice((row for row in rows if row.split is Split.TEST), count)
    return tuple(Example(row.problem, row.reference or "") for row in test)


class ContestRun(QObject):
    """Asks search after search, first all of the small model; one contest at a time.

    Signals:
        told(int, int, str): so many searches of so many are done; what the next one waits for.
        ended(Contest): compared.
        failed(str): it cannot be, and why.
    """

    told = Signal(int, int, str)
    ended = Signal(object)
    failed = Signal(str)
    _replied = Signal(int, object)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._wanted: Wanted | None = None
        self._asks: list[_Ask] = []
        self._done: list[tuple[int, str]] = []  # run and request of each ask that was answered
        self._round = 0
        self._request = ""
        self._replied.connect(self._on_reply, Qt.ConnectionType.QueuedConnection)

    @property
    def is_running(self) -> bool:
        """Whether searches are being made or compared."""
        return self._wanted is not None

    def start(self, wanted: Wanted) -> None:
        """Begin."""
        shared: dict[str, str | int | float | bool] = {
            "max_thinking_tokens": wanted.budgets.thinking, "max_answer_tokens": wanted.budgets.answer,
            "temperature": wanted.temperature, "seed": wanted.seed, "aggregation": "last",
            "difficulty": -1.0 if wanted.budgets.difficulty is None else wanted.budgets.difficulty,
        }  # fmt: skip
        ours, theirs = plan(wanted.small.uid, wanted.prm.uid, wanted.large.uid, wanted.n, **shared)
        theirs = PlannedRun(
            {**theirs.models, "prm": wanted.prm.uid}, theirs.settings
        )  # the same worker where it can be
        self._asks = [_Ask(each, planned) for planned in (ours, theirs) for each in wanted.problems]
        self._wanted, self._done = wanted, []
        self._next()

    def cancel(self) -> None:
        """Stop; nothing is compared."""
        self._round += 1
        self._wanted = None
        if self._request:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, self._request))
            self._request = ""

    def _next(self) -> None:
        self._round += 1
        self._request = ""
        number, done = self._round, len(self._done)
        self.told.emit(done, len(self._asks), "")
        if done == len(self._asks):
            assert self._wanted is not None
            read = partial(compare, context=self._context, wanted=self._wanted, done=tuple(self._done))
            self._context.background.read(self, read, self._on_compared, self._fail)
            return
        ask = partial(self._put, self._asks[done], number)
        self._context.background.call(self, ask, partial(self._on_asked, number), self._fail)

    def _put(self, ask: _Ask, number: int) -> str:
        """In a background thread."""
        row = row_of(ask.example.problem, ask.example.reference)
        request = SearchRequest(id=new_uid(), row=row, settings=ask.planned.settings)

        def hear(said: Reply | Streamed) -> None:
            if isinstance(said, Reply):
                self._replied.emit(number, said)

        return self._context.jobs.ask("search", ask.planned.models, request, hear)

    def _on_asked(self, number: int, request: str) -> None:
        if number == self._round:
            self._request = request
        elif self._wanted is None:
            self._context.background.call(self, partial(self._context.jobs.cancel_request, request))

    def _on_reply(self, number: int, reply: Reply) -> None:
        if number != self._round or self._wanted is None:
            return
        if reply.stage is Stage.WAITING:
            self.told.emit(len(self._done), len(self._asks), reply.text)
        elif reply.stage is Stage.DONE:
            self._done.append((reply.run_id, reply.request))
            self._next()
        else:
            self._fail(RunError(reply.text))

    def _fail(self, error: Exception) -> None:
        if self._wanted is not None:
            self._wanted = None
            self.failed.emit(str(error))

    def _on_compared(self, made: Contest) -> None:
        if self._wanted is not None:
            self._wanted = None
            self.ended.emit(made)


def compare(c: Connection, context: Context, wanted: Wanted, done: Sequence[tuple[int, str]]) -> Contest:
    """Read both searches of every problem. Raises RunError where one is gone, ValueError as `contest` does."""
    half = len(wanted.problems)
    ours = [_attempt(c, run, request, str(at)) for at, (run, request) in enumerate(done[:half])]
    theirs = [_attempt(c, run, request, str(at)) for at, (run, request) in enumerate(done[half:])]
    small = Models(wanted.small.name, _weights(context, wanted.small), _weights(context, wanted.prm))
    return contest(ours, small, theirs, Models(wanted.large.name, _weights(context, wanted.large)))


def _weights(context: Context, model: StoredModel) -> int:
    found = weights_of(context.workspace, RunOrder("search", parameters={"model": model.uid}))
    if not found:
        raise RunError(f"nobody can say how many weights {model.name} has: there is no safetensors file in its folder")
    return found


def _attempt(c: Connection, run: int, request: str, row: str) -> Attempted:
    record = record_id(runs.get(c, run).uid, request, 0)
    found = next((each for each in searches.of_run(c, run) if each.record == record), None)
    if found is None:
        raise RunError("a search of the comparison is not in the workspace; compare again")
    tree = searches.read(c, found.id)
    t = s.trace.c
    ids = [each for each in tree.trace_ids if each is not None]
    known = {each.id: each for each in c.execute(select(t.id, t.outcome, t.answer).where(t.id.in_(ids)))}
    rows = [known.get(each or 0) for each in tree.trace_ids]
    made = SearchRecord(
        id=record, row=row, problem=found.prompt, reference=None, strategy=found.strategy, settings=found.settings,
        nodes=tree.nodes, traces=tuple(str(each) for each in tree.trace_ids), votes=tree.votes, chosen=found.chosen,
        answer=found.answer, spent=found.spent, model=found.model,
    )  # fmt: skip
    outcomes = [None if each is None else each.outcome for each in rows]
    return attempted(made, outcomes, [each is not None and each.answer is not None for each in rows])
