"""Which charts a recipe's runs have, and what the lines on them mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from studio.ui.widgets.charts import Baseline, ChartSpec, Line


@dataclass(frozen=True, slots=True)
class ChartSet:
    """The charts of a recipe and the line of text under them."""

    charts: tuple[ChartSpec, ...]
    hint: str

    @property
    def keys(self) -> frozenset[str]:
        """The series that are drawn."""
        return frozenset(line.key for spec in self.charts for line in spec.lines)


def _baselines(figure: str) -> tuple[Baseline, ...]:
    return (
        Baseline(f"validation/baseline_step_index_{figure}", "step index", place=0.02),
        Baseline(f"validation/baseline_tfidf_{figure}", "TF-IDF + LR", place=0.35),
        Baseline(f"validation/hint_last_rated_{figure}", "hint: last rated step", place=0.64, hint=True),
    )


def _smooth(key: str) -> Line:
    return Line(f"train/{key}", smooth=True)


def _dots(key: str) -> Line:
    return Line(f"validation/{key}", points=True)


_LOSS = ChartSpec("Loss", (_smooth("loss"), _dots("loss")))
_SPEED = ChartSpec("Tokens per second", (_smooth("tokens_per_second"),))
_MEANS = "Bold: moving average · faint: raw · dots: validation"

REWARD_MODEL = ChartSet(
    (
        _LOSS,
        ChartSpec("Validation AUC", (_dots("auc"),), _baselines("auc"), low=0.4, high=1.0),
        ChartSpec("Accuracy of steps", (_smooth("accuracy"), _dots("accuracy")), low=0.0, high=1.0),
        ChartSpec(
            "First-error accuracy",
            (_dots("first_error_accuracy"),),
            _baselines("first_error_accuracy"),
            low=0.0,
            high=1.0,
        ),
        ChartSpec("Calibration error (ECE)", (_dots("ece"),), _baselines("ece")),
        _SPEED,
    ),
    f"{_MEANS} · dashed: what step index and TF-IDF reach · dotted: a hint no causal PRM can know",
)
TEACHING = ChartSet(
    (
        _LOSS,
        ChartSpec("Accuracy of tokens", (_smooth("accuracy"), _dots("accuracy")), low=0.0, high=1.0),
        ChartSpec("Perplexity", (_dots("perplexity"),)),
        ChartSpec("Gradient norm", (_smooth("grad_norm"),)),
        ChartSpec("Learning rate", (Line("train/learning_rate"),)),
        _SPEED,
    ),
    _MEANS,
)
REINFORCEMENT = ChartSet(
    (
        ChartSpec(
            "Right answers: rollouts, held out", (_smooth("rewards/outcome/mean"), _dots("accuracy")), low=0.0, high=1.0
        ),
        ChartSpec("Reward", (_smooth("reward"),)),
        ChartSpec(
            "Step scores: rollouts, held out", (_smooth("rewards/process/mean"), _dots("process")), low=0.0, high=1.0
        ),
        ChartSpec("Tokens of a trace: rollouts, held out", (_smooth("completions/mean_length"), _dots("mean_length"))),
        ChartSpec("Entropy and KL (nats a token)", (_smooth("entropy"), _smooth("kl"))),
        ChartSpec("Groups whose traces earn alike", (_smooth("frac_reward_zero_std"),), low=0.0, high=1.0),
        ChartSpec(
            "Turns back, checks (a trace); effort against difficulty",
            (
                _smooth("behaviour/backtracks"),
                _smooth("behaviour/verifications"),
                _smooth("behaviour/effort_by_difficulty"),
            ),
        ),
    ),
    f"{_MEANS} on held-out problems, greedy · step scores rising while right answers fall is an alarm",
)
_BY_SERVER = ChartSpec(
    "Server and trainer differ by (nats a token)",
    (_smooth("sampling/sampling_logp_difference/mean"), _smooth("sampling/kl")),
)
WRITING = ChartSet(
    (
        ChartSpec("Right answers", (Line("test/accuracy", points=True),), low=0.0, high=1.0),
        ChartSpec("Traces with an answer", (Line("test/answered", points=True),), low=0.0, high=1.0),
        ChartSpec("Tokens of thinking", (Line("test/thinking_tokens", points=True),)),
        ChartSpec("Tokens of the answer", (Line("test/answer_tokens", points=True),)),
        ChartSpec("Thinking closed at its budget", (Line("test/forced", points=True),), low=0.0, high=1.0),
        ChartSpec("Tokens per second", (Line("test/tokens_per_second", points=True),)),
    ),
    "Means so far, by problems answered",
)
SEARCHING = ChartSet(
    (
        ChartSpec("Right answers", (Line("test/accuracy", points=True),), low=0.0, high=1.0),
        ChartSpec("Problems with an answer", (Line("test/answered", points=True),), low=0.0, high=1.0),
        ChartSpec("Tokens drawn a problem", (Line("test/tokens", points=True),)),
        ChartSpec("Tokens the PRM read a problem", (Line("test/prm_tokens", points=True),)),
        ChartSpec("Prefixes scored a problem", (Line("test/prm_calls", points=True),)),
        ChartSpec("Seconds a problem", (Line("test/search_seconds", points=True),)),
    ),
    "Means so far, by problems answered",
)
ROUTING = ChartSet(
    (
        ChartSpec(
            "Right answers",
            (
                Line("test/accuracy", points=True),
                Line("test/oracle_accuracy", points=True),
                Line("test/random_accuracy", points=True),
            ),
            low=0.0,
            high=1.0,
        ),
        ChartSpec("Asked the reasoning model", (Line("test/escalated", points=True),), low=0.0, high=1.0),
        ChartSpec("Cost of a right answer", (Line("test/cost_of_right", points=True),)),
        ChartSpec(
            "Latency (s)",
            (Line("test/latency_p50", points=True), Line("test/latency_p95", points=True)),
        ),
        ChartSpec("Answered from the cache", (Line("test/cached", points=True),), low=0.0, high=1.0),
        ChartSpec("Answers that lack something", (Line("test/marked", points=True),), low=0.0, high=1.0),
    ),
    "So far, by problems answered · oracle and random over the audited share",
)
LABELLING = ChartSet(
    (
        ChartSpec("Rollouts spent", (Line("train/rollouts"),)),
        ChartSpec("Steps the rule calls wrong", (Line("train/rule_wrong_share"),), low=0.0, high=1.0),
        ChartSpec("Steps per second", (_smooth("steps_per_second"),)),
    ),
    "By rows labelled",
)
_OWN = {
    "sft": TEACHING,
    "rl": REINFORCEMENT,
    "autolabel": LABELLING,
    "generate": WRITING,
    "search": SEARCHING,
    "route": ROUTING,
}


def charts_of(recipe: str, names: Iterable[str] = ()) -> ChartSet:
    """The charts of a recipe, those of a reward model where it has none of its own; `names`: what its runs tell.

    Every named held-out set has a chart of its own, and so has what a server that writes differs by.
    """
    own = _OWN.get(recipe, REWARD_MODEL)
    names = tuple(names)
    if _BY_SERVER.lines[0].key in names:
        own = ChartSet((*own.charts, _BY_SERVER), own.hint)
    figure, words = _OF_SET.get(recipe, ("auc", "AUC"))
    sets = sorted(key for key in names if key.startswith("eval/") and key.endswith(f"/{figure}"))
    if not sets:
        return own
    low, high = (None, None) if figure == "loss" else (0.0, 1.0)
    charts = (
        ChartSpec(f"{words}: {key.split('/', 1)[1].rpartition('/')[0]}", (Line(key, points=True),), low=low, high=high)
        for key in sets
    )
    return ChartSet((*own.charts, *charts), own.hint)


_OF_SET = {"rl": ("accuracy", "Right answers"), "sft": ("loss", "Loss")}


def taken_by_worker(last: Mapping[str, float]) -> str:
    """What a run's worker took of its machine when it last told, to stand behind the hint; empty before it told."""
    memory, processor = last.get("system/rss_mb"), last.get("system/cpu_percent")
    if memory is None or processor is None:
        return ""
    return f" · worker: {memory:,.0f} MB of memory, {processor:.0f} % of a core"
