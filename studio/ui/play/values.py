"""What is played: a problem, models, budgets, and the strategies that race for the answer."""

from __future__ import annotations

from dataclasses import dataclass

from studio.jobs.asking import SEARCHES, Asking, Question, Way, asking_of
from trainer.contract.specs.route import RouteSpec
from trainer.contract.specs.search import Compute, SearchSpec
from trainer.reasoning.budget import Grant, allocate

MOST_LANES = 4


@dataclass(frozen=True, slots=True)
class Entrant:
    """One way to an answer; `routed`: the router chooses who answers."""

    title: str
    way: Way = Way.SINGLE
    routed: bool = False

    @property
    def needs_prm(self) -> bool:
        """Whether scores of steps lead it."""
        return not self.routed and self.way not in (Way.SINGLE, Way.MAJORITY)

    @property
    def has_tree(self) -> bool:
        """Whether several traces or prefixes are tried."""
        return self.way is not Way.SINGLE and not self.routed


ROUTER = Entrant("Router", routed=True)
RECORDED = Entrant("As recorded")
ENTRANTS = (
    Entrant("One trace", Way.SINGLE),
    Entrant("Self-consistency", Way.MAJORITY),
    Entrant("Best-of-n", Way.BEST_OF_N),
    Entrant("Weighted best-of-n", Way.WEIGHTED),
    Entrant("Beam", Way.BEAM),
    Entrant("Lookahead", Way.LOOKAHEAD),
    Entrant("DVTS", Way.DVTS),
    Entrant("MCTS", Way.MCTS),
    ROUTER,
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model answers; `key` is the name of its key, empty for none, `speaks` a word of the recipe `route`."""

    url: str
    model: str
    key: str
    speaks: str


@dataclass(frozen=True, slots=True)
class Models:
    """Who plays: names or uids. `reasoning` (else `address`) and `router` are the router's."""

    policy: str
    prm: str = ""
    reasoning: str = ""
    router: str = ""
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Budgets:
    """Tokens of thinking and answer; `difficulty` in [0, 1] split their sum, None = by hand."""

    thinking: int
    answer: int
    difficulty: float | None = None

    @property
    def grant(self) -> Grant:
        """What a trace is granted."""
        if self.difficulty is None:
            return Grant(self.thinking, self.answer, None, "hand")
        return allocate(self.thinking + self.answer, self.difficulty)


@dataclass(frozen=True, slots=True)
class Begun:
    """The first `steps` steps of a stored trace, that a race goes on from; `uid` is the trace's.

    `thinking` and `answer` are the tokens they hold, as the trace counted them; 0 where nobody did.
    """

    trace: int
    uid: str
    steps: int
    text: str
    thinking: int = 0
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Play:
    """What a person wants to see played."""

    problem: str
    reference: str | None
    models: Models
    budgets: Budgets
    entrants: tuple[Entrant, ...]
    n: int = 8
    compute: Compute = Compute.BY_HAND
    aggregation: str = "last"
    temperature: float = 1.0
    seed: int = 0
    begun: Begun | None = None

    def later(self, entrant: Entrant) -> tuple[int, Grant] | None:
        """From which trace on the router's reasoning model writes, and under which grant; None without a router."""
        if not entrant.routed:
            return None
        fast = RouteSpec().n if self.temperature else 1
        return fast, Grant(self.budgets.thinking + self.budgets.answer, self.budgets.answer, None, "hand")

    def objection(self, entrant: Entrant) -> str:
        """Why this strategy makes no sense with these settings; empty where it does."""
        if entrant.routed or entrant.way is Way.SINGLE:
            return ""
        strategy = SEARCHES[entrant.way]
        return SearchSpec(strategy=strategy, n=self.n, compute=self.compute, temperature=self.temperature).objection()


def asking(play: Play, entrant: Entrant) -> Asking:
    """How a resident run is asked for one strategy. Raises RunError for what does not go together.

    With a PRM one trace is a search for one trace: the worker that searches is at hand then, and nothing is reloaded.
    """
    settings = {
        "max_thinking_tokens": str(play.budgets.thinking),
        "max_answer_tokens": str(play.budgets.answer),
        "temperature": f"{play.temperature:g}",
        "seed": str(play.seed),
    }
    models, way = play.models, entrant.way
    n: int | None = None
    if not entrant.routed and (way is not Way.SINGLE or models.prm):
        n, compute = (1, Compute.BY_HAND) if way is Way.SINGLE else (play.n, play.compute)
        way = Way.MAJORITY if way is Way.SINGLE else way
        settings |= {"compute": compute.value, "aggregation": play.aggregation}
    if entrant.routed and not play.temperature:
        n = 1  # at temperature 0 the fast model's samples are all the same
    if entrant.routed:  # the reasoning model may use all tokens for thinking
        whole = play.budgets.thinking + play.budgets.answer
        settings |= {"reasoning_thinking_tokens": str(whole), "reasoning_answer_tokens": str(play.budgets.answer)}
        if (there := models.address) is not None:
            settings |= {"reasoning_url": there.url, "reasoning_name": there.model, "reasoning_speaks": there.speaks}
            settings |= {"reasoning_key": there.key} if there.key else {}
    return asking_of(
        Question(
            problem=play.problem,
            model=models.policy,
            way=way,
            prm=models.prm,
            reasoning=models.reasoning if entrant.routed else "",
            router=models.router if entrant.routed else "",
            routed=entrant.routed,
            n=n,
            difficulty=play.budgets.difficulty,
            reference=play.reference,
            settings=settings,
            prefix=play.begun.text if play.begun else "",
            forked_from=play.begun.uid if play.begun else "",
        )
    )
