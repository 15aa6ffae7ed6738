"""The verbs `bisect` and `fork`: a policy continues a trace without a window."""

from __future__ import annotations

import argparse
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from studio.errors import RunError
from studio.exchange.telling import CANCELLED, Stop, cancellable
from studio.jobs import bisecting
from studio.jobs.bisecting import Bisecting
from studio.jobs.continuing import Continuation, Start, agreeing, policies, read_continuations, read_start
from studio.jobs.forking import NAMES, Forking
from studio.jobs.service import Jobs
from studio.jobs.streams import Streamed
from studio.jobs.values import Reply, Stage
from studio.settings import Settings
from studio.store import models
from studio.store.models import StoredModel
from studio.workspace import Workspace
from trainer.contract.requests import GenerateRequest
from trainer.contract.spec import SpecError, build

LOOK_SECONDS = 0.05  # between two looks at Ctrl+C


def bisect(args: argparse.Namespace) -> int:
    """Find the step that decided a trace; 0 when a step was found, 1 when none, 130 when it was cancelled."""
    with Workspace.open(args.workspace) as workspace:
        start, model = _read(workspace, args)
        bisecting.sought_in(start)
        work = Bisecting(start, model, args.n, *_budgets(start, args))
        _check(work)
        cost = bisecting.cost_of(start, work.number, work.thinking, work.answer_tokens)
        if not args.json:
            sys.stderr.write(f"{bisecting.what_for(start)}\n{cost.words}\n")
        judge = _judge(start, by_reference=work.by_reference)
        if not _drive(workspace, model, args, work, judge, lambda: _tell_probe(work, args)):
            return CANCELLED
        workspace.database.run(lambda c: bisecting.keep(c, work))
    _write(args, work.words, _document(work))
    return 0 if work.step is not None else 1


def fork(args: argparse.Namespace) -> int:
    """Continue a step as it was and as edited; 0 when it was done, 130 when it was cancelled."""
    with Workspace.open(args.workspace) as workspace:
        start, model = _read(workspace, args)
        place = args.step - 1
        if not 0 <= place < len(start.steps):
            raise RunError(f"--step {args.step}: the trace has steps 1 to {len(start.steps)}")
        own = start.steps[place].of(start.text)
        work = Forking(start, model, place, own if args.text is None else args.text, args.n, *_budgets(start, args))
        _check(work)
        if not _drive(workspace, model, args, work, tuple, lambda: None):
            return CANCELLED
    branches = [
        {"name": name, "prefix": prefix, "traces": _traces(branch)}
        for name, prefix, branch in zip(NAMES, work.prefixes, work.branches, strict=False)
    ]
    gain = None if work.gain is None else msgspec.to_builtins(work.gain)
    said = {"trace": start.trace_id, "step": args.step, "branches": branches, "gain": gain, "words": work.words}
    _write(args, work.words, said | {"tokens": work.tokens, "seconds": work.seconds})
    return 0


def _read(workspace: Workspace, args: argparse.Namespace) -> tuple[Start, StoredModel]:
    with workspace.database.read() as c:
        start = read_start(c, args.trace)
        model = models.find(c, args.model)
        known = policies(c)
    if model is None or model.uid not in {each.uid for each in known}:
        have = ", ".join(each.name for each in known) or "none yet; teach one with `steplens run sft`"
        raise RunError(f"--model {args.model}: there is no policy of this name; policies of this workspace: {have}")
    return start, model


def _budgets(start: Start, args: argparse.Namespace) -> tuple[int, int]:
    return (
        start.thinking if args.max_thinking_tokens is None else args.max_thinking_tokens,
        start.answer_tokens if args.max_answer_tokens is None else args.max_answer_tokens,
    )


def _check(work: Bisecting | Forking) -> None:
    """Refuse what no run would take before anything is said of its cost. Raises RunError."""
    try:
        build("generate", dict(work.settings))
    except SpecError as error:
        raise RunError(str(error)) from error


Judge = Callable[[tuple[Continuation, ...]], tuple[Continuation, ...]]


def _judge(start: Start, *, by_reference: bool) -> Judge:
    answer = start.answer
    if by_reference or answer is None:
        return tuple
    return lambda found: agreeing(found, answer)


def _drive(
    workspace: Workspace,
    model: StoredModel,
    args: argparse.Namespace,
    work: Bisecting | Forking,
    judge: Judge,
    tell: Callable[[], None],
) -> bool:
    """Ask until nothing is wanted; False when it was cancelled. Raises RunError."""
    with cancellable() as stop:
        jobs = Jobs(workspace, interpreter=Settings.load().interpreter or None)
        jobs.start()
        try:
            while work.wanted is not None:
                began, request = time.monotonic(), work.request()
                reply = _answered(jobs, model, args.device, request, stop)
                if reply is None:
                    sys.stderr.write("steplens: cancelled\n")
                    return False
                took = time.monotonic() - began
                with workspace.database.read() as c:
                    found = read_continuations(c, reply.run_id, request.id, work.number)
                work.take(judge(found), took)
                tell()
        except SpecError as error:
            raise RunError(str(error)) from error
        finally:
            jobs.stop()
    return True


def _answered(jobs: Jobs, model: StoredModel, device: str, request: GenerateRequest, stop: Stop) -> Reply | None:
    heard: queue.SimpleQueue[Reply | Streamed] = queue.SimpleQueue()
    jobs.ask("generate", {"model": model.uid}, request, heard.put, device=device)
    while True:
        if stop():
            jobs.cancel_request(request.id)
            return None
        try:
            said = heard.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if not isinstance(said, Reply) or said.stage is Stage.WAITING:
            continue
        if said.stage is Stage.FAILED:
            raise RunError(said.text)
        return said if said.stage is Stage.DONE else None


def _tell_probe(work: Bisecting, args: argparse.Namespace) -> None:
    if not args.json:
        probe = work.search.probes[-1]
        share = probe.share
        sys.stderr.write(
            f"behind {probe.count} steps: {share.hits} of {share.number} ({share.low:.0%} to {share.high:.0%})"
            f"{', doubtful' if probe.doubtful else ''}\n"
        )


def _document(work: Bisecting) -> dict[str, Any]:
    found = work.search.found
    assert found is not None, "it was driven to its end"
    probes = [
        {
            "steps": probe.count,
            "share": probe.share.value,
            "low": probe.share.low,
            "high": probe.share.high,
            "changed": probe.changed,
            "doubtful": probe.doubtful,
            "undecided": probe.undecided,
            "traces": _traces(work.traces[probe.count]),
        }
        for probe in work.search.probes
    ]
    return {
        "trace": work.start.trace_id,
        "model": work.model.name,
        "looked_for": work.search.sought.value,
        "by": "reference answer" if work.by_reference else "the trace's own answer",
        "where": found.where.value,
        "step": found.step,
        "range": [found.first, found.last],
        "sure": found.is_sure,
        "words": work.words,
        "n": work.number,
        "probes": probes,
        "tokens": work.tokens,
        "seconds": work.seconds,
    }


def _traces(found: tuple[Continuation, ...]) -> list[dict[str, Any]]:
    return [{"id": one.trace_id, "answer": one.answer, "right": one.right, "tokens": one.tokens} for one in found]


def _write(args: argparse.Namespace, words: str, said: dict[str, Any]) -> None:
    text = msgspec.json.format(msgspec.json.encode(said)).decode() if args.json else words
    sys.stdout.write(f"{text}\n")
