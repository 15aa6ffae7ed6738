"""What can be asked of the recipe `route`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import setting


class RouteTask(StrEnum):
    """What a run does."""

    ANSWER = "answer problems"
    LEARN = "learn when to escalate"


class RouteTarget(StrEnum):
    """What the thresholds are chosen for."""

    ACCURACY = "accuracy near the oracle's"
    COST = "a share of the cost"


class Speaks(StrEnum):
    """The form of request and answer of a server."""

    CHAT = "OpenAI chat"
    COMPLETIONS = "OpenAI completions"
    ANTHROPIC = "Anthropic messages"


ROUTE_INDEX = (1 << 20) - 1
"""The number of a row's route among the records of its run, behind those of its traces."""
OF_A_REQUEST = (
    "n", "max_thinking_tokens", "max_answer_tokens", "reasoning_n", "reasoning_thinking_tokens",
    "reasoning_answer_tokens", "accept", "target", "target_value", "task_type", "latency", "difficulty", "audit",
    "context", "cache", "cache_days", "temperature", "top_p", "seed",
)  # fmt: skip
"""What a request may set otherwise than the run."""
_FAST, _REASONING, _ROUTER, _CACHE = "Fast model", "Reasoning model", "Router", "Cache"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """Answer problems with a fast model where it is sure, and with a reasoning model where it is not."""

    task: RouteTask = setting(
        RouteTask.ANSWER,
        "Answer; or ask both models about problems with reference answers, and learn when to escalate",
        group=_ROUTER,
    )
    model: str = setting("", "The fast model: a policy made here, or a folder", group=_FAST)
    fast_url: str = setting("", "Its address instead, such as http://127.0.0.1:8000/v1", group=_FAST)
    fast_name: str = setting("", "The model's name at that address", group=_FAST)
    fast_speaks: Speaks = setting(Speaks.CHAT, "What that address speaks", group=_FAST)
    fast_key: str = setting("", "The name under which the address's key is stored; none: no key", group=_FAST)
    fast_price_input: float = setting(
        0.0, "What a million tokens read cost", low=0.0, high=1e6, group=_FAST, advanced=True
    )
    fast_price_output: float = setting(
        0.0, "What a million tokens written cost", low=0.0, high=1e6, group=_FAST, advanced=True
    )
    n: int = setting(3, "Samples of the fast model, whose agreement counts", low=1, high=256, group=_FAST)
    max_thinking_tokens: int = setting(
        256, "Most tokens of thinking of the fast model", low=0, high=131072, group=_FAST, unit="tokens"
    )
    max_answer_tokens: int = setting(256, "Most tokens of its answer", low=1, high=131072, group=_FAST, unit="tokens")
    reasoning: str = setting("", "The reasoning model: a policy made here, or a folder", group=_REASONING)
    reasoning_url: str = setting("", "Its address instead", group=_REASONING)
    reasoning_name: str = setting("", "The model's name at that address", group=_REASONING)
    reasoning_speaks: Speaks = setting(Speaks.CHAT, "What that address speaks", group=_REASONING)
    reasoning_key: str = setting("", "The name under which the address's key is stored; none: no key", group=_REASONING)
    reasoning_price_input: float = setting(
        0.0, "What a million tokens read cost", low=0.0, high=1e6, group=_REASONING, advanced=True
    )
    reasoning_price_output: float = setting(
        0.0, "What a million tokens written cost", low=0.0, high=1e6, group=_REASONING, advanced=True
    )
    reasoning_n: int = setting(1, "Samples of the reasoning model", low=1, high=256, group=_REASONING, advanced=True)
    reasoning_thinking_tokens: int = setting(
        2048, "Most tokens of its thinking", low=0, high=131072, group=_REASONING, unit="tokens"
    )
    reasoning_answer_tokens: int = setting(
        1024, "Most tokens of its answer", low=1, high=131072, group=_REASONING, unit="tokens"
    )
    prm: str = setting("", "A PRM whose scores of steps count for the confidence; none: not counted", group=_ROUTER)
    router: str = setting("", "A router learned here; none: the confidence below, not calibrated", group=_ROUTER)
    accept: float = setting(
        0.7, "Without a learned router: the fast model's answer stands from this confidence on", low=0.0, high=1.0,
        group=_ROUTER,
    )  # fmt: skip
    target: RouteTarget = setting(RouteTarget.ACCURACY, "What a learned router's thresholds are for", group=_ROUTER)
    target_value: float = setting(
        0.02, "Accuracy: how far below the oracle's; cost: share of always asking the reasoning model", low=0.0,
        high=1.0, group=_ROUTER,
    )  # fmt: skip
    task_type: str = setting("", "The type of task of all problems; none: their project or origin", group=_ROUTER)
    latency: float = setting(
        0.0, "Seconds that an answer may take; what cannot fit is cut or left out; 0 = no limit", low=0.0, high=86400.0,
        group=_ROUTER, unit="s",
    )  # fmt: skip
    difficulty: float = setting(
        -1.0, "0 to 1 allocates the budgets; -1 = as they are set", low=-1.0, high=1.0, group=_ROUTER, advanced=True
    )
    audit: float = setting(
        0.0, "Share of problems for which both models are asked, to know what each would have said", low=0.0, high=1.0,
        group=_ROUTER, advanced=True,
    )  # fmt: skip
    context: str = setting("", "Text that stands before every problem", group=_ROUTER, advanced=True)
    cache: bool = setting(True, "Answer what was asked before, in the same way, from the cache", group=_CACHE)
    cache_folder: str = setting(
        "", "Where the cache lies; none: in the workspace, or in the run's folder where there is none", group=_CACHE,
        advanced=True,
    )  # fmt: skip
    cache_days: float = setting(
        0.0, "Answers older than this are asked again; 0 = never", low=0.0, high=36500.0, group=_CACHE, unit="days",
        advanced=True,
    )  # fmt: skip
    temperature: float = setting(0.7, "Temperature", low=0.0, high=5.0, group="Sampling")
    top_p: float = setting(0.95, "Nucleus", low=0.01, high=1.0, group="Sampling", advanced=True)
    timeout: float = setting(
        120.0, "Seconds that an address may take for one answer", low=0.1, high=86400.0, group="Addresses", unit="s",
        advanced=True,
    )  # fmt: skip
    tries: int = setting(
        3, "How often an address is asked before the other model's answer has to do", low=1, high=20,
        group="Addresses", advanced=True,
    )  # fmt: skip
    requests_a_minute: int = setting(
        0, "Most requests to each address in a minute; 0 = no limit", low=0, high=1_000_000, group="Addresses",
        advanced=True,
    )  # fmt: skip
    parallel: int = setting(8, "Requests to each address at once", low=1, high=256, group="Addresses", advanced=True)
    batch_rows: int = setting(16, "Problems answered together", low=1, high=4096, group="Device", advanced=True)
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    resident: bool = setting(
        False, "Stay when its rows are answered, and answer requests until none has come", group="Device", advanced=True
    )
    idle_minutes: float = setting(
        10.0, "How long a run that stays waits for a request before it ends", low=0.001, high=1440.0, group="Device",
        advanced=True, unit="min",
    )  # fmt: skip
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")

    def objection(self) -> str:
        """What makes these settings meaningless, with what to do; empty where nothing does."""
        if self.temperature > 0 or self.n == 1:
            return ""
        return (
            f"at temperature 0 the {self.n} samples of the fast model agree always, which says nothing of the answer; "
            "set temperature above 0 (0.6 to 1 are usual), or n to 1"
        )
