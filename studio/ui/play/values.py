"""What is played: a problem, models, budgets, and the strategies that race for the answer."""

from __future__ import annotations

from dataclasses import dataclass

from studio.jobs.asking import Asking, Question, Way, asking_of
from trainer.contract.specs.search import Compute
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
class Models:
    """Who plays: names or uids. `reasoning` and `router` are the router's."""

    policy: str
    prm: str = ""
    reasoning: str = ""
    router: str = ""


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
    if entrant.routed:  # the reasoning model may use all tokens for thinking
        whole = play.budgets.thinking + play.budgets.answer
        settings |= {"reasoning_thinking_tokens": str(whole), "reasoning_answer_tokens": str(play.budgets.answer)}
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
        )
    )
