"""The verb `ask`: a problem to a model without a window; its answer is written out while it comes."""

from __future__ import annotations

import argparse
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from studio.errors import RunError
from studio.exchange.telling import CANCELLED, Stop, cancellable
from studio.jobs import shipped, taught
from studio.jobs.asking import SEARCHES, Answered, Asking, Question, Way, answer_of, asking_of
from studio.jobs.service import Jobs
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.settings import Settings
from studio.store import models
from studio.workspace import Workspace
from trainer.contract.events import Wrote
from trainer.contract.spec import SpecError

LOOK_SECONDS = 0.05  # between two looks at Ctrl+C
Said = Reply | Streamed


def ask(args: argparse.Namespace) -> int:
    """Answer a problem; 0 with an answer, 1 without one, 130 when it was cancelled."""
    question = _question(args)
    with Workspace.open(args.workspace, create=True) as workspace, cancellable() as stop:
        jobs = Jobs(workspace, interpreter=Settings.load().interpreter or None)
        jobs.start()
        try:
            asking = asking_of(_kept_to_taught(workspace, _with_shipped(workspace, question)))
            shown = None if args.json else Shown(asking.watched)
            began = time.monotonic()
            reply = _wait(jobs, asking, args.device, shown, stop)
            if reply is None:
                sys.stderr.write("steplens: cancelled\n")
                return CANCELLED
            with workspace.database.read() as c:
                answered = answer_of(c, asking, reply.run_id, time.monotonic() - began, question.way)
        except (RunError, SpecError) as error:
            raise RunError(f"{error}{_misspelt(workspace, question, str(error))}") from error
        finally:
            jobs.stop()
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answered)).decode() + "\n")
    else:
        _tell(answered, shown)
    return 0 if answered.answer is not None else 1


@dataclass(slots=True)
class Shown:
    """Writes the watched traces to stdout as they grow, one after the other; the rest to stderr as one line."""

    watched: dict[int, str]
    write: Callable[[str], object] = field(default_factory=lambda: sys.stdout.write)
    now: int = -1
    attempt: int = 0
    kept: dict[int, str] = field(default_factory=dict)  # text of a trace that waits for another one
    line: bool = field(default_factory=sys.stderr.isatty)

    def take(self, said: Said) -> None:
        """Something new."""
        if isinstance(said, Reply):
            self._tell(said.text)
        elif isinstance(said.event, Wrote):
            self._wrote(said.event)
        else:
            self._tell(f"{len(said.event.nodes)} steps, {said.event.spent.tokens} tokens")
        sys.stdout.flush()

    @property
    def has_written(self) -> bool:
        """Whether anything was."""
        return self.now >= 0

    def _wrote(self, event: Wrote) -> None:
        if event.trace not in self.watched:
            return
        if event.attempt != self.attempt and self.attempt:
            self.write("\n[begun anew]\n")
            self.now = -1
        self.attempt = event.attempt
        if event.trace != self.now:
            self._clear()
            name = self.watched[event.trace]
            self.write(f"{'' if self.now < 0 else chr(10) * 2}{f'[{name}]{chr(10)}' if name else ''}")
            self.now = event.trace
        self.write(f"\n[{event.dropped} characters taken back]\n" if event.dropped else "")
        self.write(event.text)

    def _tell(self, text: str) -> None:
        if self.line and not self.has_written:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def _clear(self) -> None:
        if self.line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _wait(jobs: Jobs, asking: Asking, device: str, shown: Shown | None, stop: Stop) -> Reply | None:
    """The last word; None when it was cancelled. Raises RunError where it failed."""
    heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
    request = jobs.ask(asking.recipe, asking.models, asking.request, heard.put, settings=asking.settings, device=device)
    while True:
        if stop():
            jobs.cancel_request(request)
            return None
        try:
            said = heard.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(said, Reply) and said.stage is Stage.DONE:
            return said
        if isinstance(said, Reply) and said.stage is Stage.CANCELLED:
            return None
        if isinstance(said, Reply) and said.stage is Stage.FAILED:
            raise RunError(said.text)
        if shown is not None:
            shown.take(said)


def _tell(answered: Answered, shown: Shown | None) -> None:
    """The text, if it was not shown while it came, and on stderr what there is to know of it."""
    shown_now = shown is not None and shown.has_written
    sys.stdout.write("\n" if shown_now else f"{answered.text}\n" if answered.text else "")
    sys.stdout.flush()
    thinking = answered.budget.get("thinking")
    tokens = f"{answered.tokens} tokens" + (f" ({thinking} of thinking)" if thinking else "")
    cost = f", cost {answered.cost:.6g}" if answered.cost else ""
    numbers = ", ".join(str(trace.id) for trace in answered.traces[:8]) + (" ..." if len(answered.traces) > 8 else "")
    parts = [f"answer: {answered.answer if answered.answer is not None else 'none'}"]
    parts += [f"{tokens}, {answered.seconds:.1f} s{cost}{', from the cache' if answered.cached else ''}"]
    parts += [f"trace {numbers}"] if numbers else []
    parts += list(answered.why)
    parts += [f"note: {answered.marked}"] if answered.marked else []
    sys.stderr.write("".join(f"{part}\n" for part in parts))


def _with_shipped(workspace: Workspace, question: Question) -> Question:
    """Where no model is named the policy that travels with the app answers, led by its own PRM; that is said."""
    if question.model or (question.routed and "fast_url" in question.settings):
        return question
    made = shipped.ensure(workspace)
    found = replace(question, model=made.policy.uid)
    names = made.policy.name
    if not question.prm and (question.way in SEARCHES and SEARCHES[question.way].needs_prm):
        found, names = replace(found, prm=made.prm.uid), f"{names}, led by {made.prm.name},"
    like = shipped.EXAMPLES[0].problem
    sys.stderr.write(f'steplens: no --model is named, so {names} answers; it knows problems like "{like}" alone\n')
    return found


def _kept_to_taught(workspace: Workspace, question: Question) -> Question:
    """With as much thinking as the policy was taught, where nobody says how much; another grant is said.

    Scores are aggregated as the PRM was taught, where nobody says how.
    """
    with workspace.database.read() as c:
        kept, said = taught.kept_to(c, taught.scored_as_taught(c, question))
    if said:
        sys.stderr.write(f"steplens: {said}\n")
    return kept


def _misspelt(workspace: Workspace, question: Question, error: str) -> str:
    """Of models that an error names, those that are neither in the workspace nor files, and what the workspace has."""
    named = [question.model, question.prm, question.reasoning, question.router]
    with workspace.database.read() as c:
        gone = [n for n in named if n and n in error and models.find(c, n) is None and not Path(n).exists()]
        have = ", ".join(model.name for model in reversed(models.all_models(c)))
    return f" The workspace has no model of this name; it has: {have or 'none yet'}." if gone else ""


def _question(args: argparse.Namespace) -> Question:
    settings: dict[str, str] = {}
    for each in args.settings:
        name, equals, value = each.partition("=")
        if not equals:
            raise RunError(f"--set {each}: write KEY=VALUE")
        settings[name.strip()] = value
    try:
        problem = sys.stdin.read() if args.problem == "-" else args.problem
    except UnicodeDecodeError as error:
        raise RunError(f"what stdin gives is no UTF-8 text ({error}); convert it, as with iconv") from error
    return Question(
        problem=problem,
        model=args.model,
        way=Way(args.strategy),
        prm=args.prm,
        reasoning=args.reasoning,
        router=args.learned,
        routed=args.router,
        n=args.n,
        difficulty=args.difficulty,
        reference=args.reference,
        settings=settings,
    )
