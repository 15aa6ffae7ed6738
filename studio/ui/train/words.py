"""What the Train page says of runs: sections, sentences, times."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from studio.jobs.values import RunView
from studio.ui.widgets.parts import duration
from trainer.contract.records import RunState


class Section(StrEnum):
    """Where a run stands in the table, in this order."""

    NOW = "now"
    UNKNOWN = "?"
    NEXT = "next"
    PAUSED = "paused"
    DONE = "done"


_SECTIONS = {
    RunState.STARTING: Section.NOW,
    RunState.RUNNING: Section.NOW,
    RunState.SILENT: Section.UNKNOWN,
    RunState.LOST: Section.UNKNOWN,
    RunState.QUEUED: Section.NEXT,
    RunState.PAUSED: Section.PAUSED,
}
RECIPE_NAMES = {
    "prm": "Train a PRM",
    "orm": "Train an outcome reward model",
    "sft": "Teach a policy by demonstrations",
    "rl": "Improve a policy by reinforcement",
    "generate": "Let a policy write traces",
    "search": "Search for answers",
    "route": "Route between two models",
    "autolabel": "Label steps by machine",
    "score": "Score traces",
    "monitor": "Look for what is unsafe",
}
RECIPE_SHORT = {
    "prm": "PRM",
    "orm": "Outcome model",
    "sft": "Demonstrations",
    "rl": "Reinforcement",
    "generate": "Traces",
    "search": "Search",
    "route": "Router",
    "autolabel": "Machine labels",
    "score": "Scores",
    "monitor": "Monitor",
}
RECIPE_ABOUT = {
    "prm": "A process reward model learns from rated steps and scores every step.",
    "orm": "One score for a whole trace, learned from its outcome: the baseline of every PRM.",
    "sft": "A model learns to write traces like these: thinking, then the answer.",
    "rl": "The policy writes traces, a PRM scores their steps, the verifier checks the answers, the policy learns.",
    "generate": "A policy writes traces for the problems, its thinking and its answer under budgets of their own.",
    "search": "A policy tries steps or whole traces, a PRM scores them, and a vote or the best of them answers.",
    "route": "A fast model answers where it is sure, a reasoning model where it is not; or a router learns when.",
    "autolabel": "A rule checks arithmetic and algebra; rollouts ask whether the answer can still be reached.",
    "score": "A PRM made here scores every step of stored traces.",
    "monitor": "Checks, a classifier and a judge flag unsafe reasoning; or the classifier learns from reviewed flags.",
}


def section(view: RunView) -> Section:
    """The part of the table a run belongs to."""
    return _SECTIONS.get(view.state, Section.DONE)


def ordered(views: tuple[RunView, ...]) -> list[RunView]:
    """Now, unknown, next (as they will start), paused, done; the newest first where no queue says otherwise."""
    rank = list(Section)
    return sorted(views, key=lambda v: (rank.index(section(v)), v.place if section(v) is Section.NEXT else -v.id))


def state_text(view: RunView) -> str:
    """A run's state in a few words."""
    if view.asked:
        return {"pause": "pausing…", "cancel": "cancelling…"}.get(view.asked, view.asked)
    if view.state is RunState.LOST and view.elsewhere and view.silent_seconds is not None:
        return f"no news for {duration(view.silent_seconds)}, host {view.elsewhere}"
    if view.state in (RunState.SILENT, RunState.LOST) and view.silent_seconds is not None:
        return f"{view.state.value} for {duration(view.silent_seconds)}"
    if view.idle_end is not None:
        return f"ready until {_clock(view.idle_end)}"
    return str(view.state.value)


def sentence(view: RunView) -> str:
    """A run's state as a sentence a person can act on."""
    if view.asked == "pause":
        return "Pausing: the worker writes a checkpoint, ends and frees the device."
    if view.asked == "cancel":
        return "Cancelling: the worker stops within a few seconds. Cancel again to end the process at once."
    if view.idle_end is not None:
        until = _clock(view.idle_end)
        return f"Ready on {view.device}: it answers requests of the Inspect page, and ends at {until} if none comes."
    text = _SENTENCES[view.state].format(
        device=view.device,
        phase=view.phase or "running",
        host=view.elsewhere or view.host or "its host",
        ended=f" {local_time(view.ended_at)}" if view.ended_at else "",
        silent="a while" if view.silent_seconds is None else duration(view.silent_seconds),
    )
    why = view.message.strip()
    if why in ("", view.state.value):
        return text
    return f"{text} {why[0].upper()}{why[1:]}" + ("" if why[-1] in ".!?" else ".")


_SENTENCES = {
    RunState.QUEUED: "Waits for {device}.",
    RunState.STARTING: "Starting on {device}: loading the model and the rows.",
    RunState.RUNNING: "Running on {device}: {phase}.",
    RunState.SILENT: "No news for {silent}; the process on {host} still lives.",
    RunState.LOST: "Lost contact with {host}: no news for {silent}. It may still run there.",
    RunState.PAUSED: "Paused; the device is free. Resume goes on from the last checkpoint.",
    RunState.FINISHED: "Finished{ended}.",
    RunState.CANCELLED: "Cancelled{ended}. Resume goes on from the last checkpoint.",
    RunState.FAILED: "Failed{ended}.",
    RunState.CRASHED: "Crashed.",
}


def progress_text(view: RunView) -> str:
    """How far a run is; nothing for a finished one, whose last phase is not the whole."""
    return f"{view.done:,} / {view.total:,}" if view.total and view.state is not RunState.FINISHED else ""


def left_text(view: RunView) -> str:
    """What is left, or when it ended."""
    if view.state is RunState.RUNNING and view.eta is not None:
        return f"{duration(view.eta)} left"
    return local_time(view.ended_at) if view.state.is_final else ""


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%H:%M")


def local_time(text: str | None) -> str:
    """A stored UTC time as this place writes it: "14:05" today, else with the date."""
    if not text:
        return ""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return moment.strftime("%H:%M" if moment.date() == today else "%d %b %H:%M")
