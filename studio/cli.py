"""The verbs of the command line; what does their work is imported only when a verb is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from studio import cli_finding
from studio.cli_reason import add_continuing
from studio.errors import SteplensError
from trainer.contract.utf8 import is_utf8

CANCELLED = 130  # and of one that was stopped by Ctrl+C
ENOUGH_READ = 141  # what a shell says of a program that nobody listened to any more
Handler = Callable[[argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str]) -> int:
    """Parse, hand over to the verb's handler; exit code 0 only when all went well, 2 when asked for nonsense."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if getattr(args, "progress", "") == "json" and hasattr(os, "nice"):
        os.nice(10)  # a child of the window: whoever rates meanwhile goes first
    try:
        _need_text(args)
        code = _handler(args.handler)(args)
        sys.stdout.flush()
        return code
    except SteplensError as error:
        print(f"steplens: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while a verb's libraries are read, or where nothing is to be taken back
        print("steplens: cancelled", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:  # whoever read has read enough; the end of the program would try to write the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ENOUGH_READ


def _need_text(args: argparse.Namespace) -> None:
    """Refuse words of bytes that are no UTF-8, which nothing can store; names of files may hold them."""
    for value in vars(args).values():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and not is_utf8(word):
                raise SteplensError(f"{word!a} holds bytes that are no UTF-8; write it in UTF-8")


def parser() -> argparse.ArgumentParser:
    """The whole command line. Without a verb the window opens."""
    top = argparse.ArgumentParser(
        prog="steplens", description="The desktop studio for process supervision: label, train, inspect."
    )
    top.add_argument("--workspace", type=Path, metavar="DIR", help="the workspace to open")
    top.add_argument("--report-first-paint", action="store_true", help=argparse.SUPPRESS)  # for the benchmark
    top.set_defaults(handler="studio.start:window", verb="")
    verbs = top.add_subparsers(title="verbs", metavar="")
    _add_import(verbs)
    _add_open(verbs)
    _add_receive(verbs)
    _add_export(verbs)
    _add_run(verbs)
    _add_ask(verbs)
    add_continuing(partial(_verb, verbs))
    _add_cache(verbs)
    _add_steering(verbs)
    _add_lists(verbs)
    _add_contamination(verbs)
    _add_evaluate(verbs)
    cli_finding.add(partial(_verb, verbs))
    _add_failures(verbs)
    _add_tour(verbs)
    _add_ingest(verbs)
    _add_sample(verbs)
    _add_key(verbs)
    return top


def _handler(name: str) -> Handler:
    module, function = name.split(":")
    handler: Handler = getattr(importlib.import_module(module), function)
    return handler


def _verb(
    verbs: Verbs, name: str, handler: str, about: str | None, *, workspace: bool = True
) -> argparse.ArgumentParser:
    made = (
        verbs.add_parser(name, description=about)
        if about is None
        else verbs.add_parser(name, help=about, description=about)
    )
    made.add_argument("--workspace", type=Path, metavar="DIR", required=workspace, help="the workspace's folder")
    made.set_defaults(handler=handler, verb=name)
    return made


def _progress(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--progress", choices=("text", "json", "none"), default="text", help="how progress is told (default: text)"
    )


def _add_import(verbs: Verbs) -> None:
    made = _verb(verbs, "import", "studio.filling:import_", "Bring rows of files into a project.")
    made.add_argument("files", nargs="+", type=Path, metavar="PATH", help="a file, or a folder of files")
    made.add_argument(
        "--project",
        metavar="NAME",
        help="made if there is none (default: for PRM800K the first file's name, for other traces none)",
    )
    made.add_argument(
        "--format", choices=("auto", "prm800k", "traces"), default="auto", help="default: auto, by content"
    )
    made.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="what a field of unknown JSON means; repeatable",
    )
    made.add_argument(
        "--steps",
        choices=("ideas", "lines"),
        default="ideas",
        help="how traces without steps of their own are cut (default: ideas: sentences, list items, whole displays)",
    )
    made.add_argument("--copy", action="store_true", help="keep the bytes of the files in the workspace too")
    made.add_argument("--dry-run", action="store_true", help="say what would come in and what is wrong; write nothing")
    _progress(made)


def _add_open(verbs: Verbs) -> None:
    about = "Look into a file or folder of traces without importing it."
    made = _verb(verbs, "open", "studio.exchange.open_verb:open_", about, workspace=False)
    made.add_argument("path", type=Path, metavar="PATH")
    made.add_argument("--trace", type=int, metavar="N", help="show the N-th trace of the file (from 1)")
    made.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="what a field of unknown JSON means; repeatable",
    )
    made.add_argument("--json", action="store_true", help="one JSON document")


def _add_receive(verbs: Verbs) -> None:
    about = "Take spans that programs on this machine send over OTLP/HTTP, until Ctrl+C."
    made = _verb(verbs, "receive", "studio.jobs.otlp_receiver:receive", about)
    made.add_argument("--port", type=int, default=4318, metavar="N", help="of 127.0.0.1; 0: any (default: 4318)")


def _add_export(verbs: Verbs) -> None:
    about = "Write annotations, traces, or an imported file as it was, to a file."
    made = _verb(verbs, "export", "studio.exchange.transfer:export", about)
    made.add_argument("out", type=Path, metavar="OUT")
    made.add_argument(
        "--format",
        choices=("prm800k", "original", "inspect", "otlp", "jsonl"),
        required=True,
        help="prm800k: annotations; original: the file that --log names; the others: traces",
    )
    made.add_argument("--log", metavar="FILE", help="of --format original: an imported file, by path or name")
    made.add_argument(
        "--from-tables", action="store_true", help="of --format original: the values alone, though the bytes are there"
    )
    made.add_argument("--project", metavar="NAME", help="only this project (default: all)")
    made.add_argument("--trace", action="append", type=int, metavar="N", help="of traces: this one; repeatable")
    made.add_argument("--find", default="", metavar="TEXT", help="of traces: those in which these words stand")
    made.add_argument("--annotator", metavar="NAME", help="only this annotator, by name or uid")
    made.add_argument("--source", choices=("all", "here", "imported"), default="all", help="default: all")
    made.add_argument("--unsubmitted", action="store_true", help="also annotations that are not submitted yet")
    _progress(made)


def _add_run(verbs: Verbs) -> None:
    made = _verb(verbs, "run", "studio.jobs.headless:run", "Start a run of a recipe.")
    made.add_argument("recipe", metavar="RECIPE")
    made.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="a parameter; repeatable"
    )
    made.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="one run for each value; repeatable, multiplies",
    )
    made.add_argument(
        "--rows",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="of evaluate: the file (or folder) with the suite's problems; repeatable",
    )
    made.add_argument("--dry-run", action="store_true", help="say how many runs and what they will take; make none")
    made.add_argument("--project", metavar="NAME", help="rows of this project only (default: all)")
    made.add_argument("--name", default="", help="what to call the run")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, there where it runs; default: cpu")
    made.add_argument("--where", default="", metavar="TEMPLATE", help="a launch template (default: this machine)")
    made.add_argument("--host", default="", help="of --where: the machine to speak to (default: the template's)")
    made.add_argument("--processes", type=int, default=1, metavar="N", help="on each machine; default: 1")
    made.add_argument("--machines", type=int, default=1, metavar="N", help="default: 1")
    made.add_argument("--share", choices=("DDP", "FSDP"), default="DDP", help="what each process holds; default: DDP")
    made.add_argument(
        "--trust-code", action="store_true", help="let the reward or verifier of your own, FILE.py:function, run"
    )
    made.add_argument("--wait", action="store_true", help="stay until the run has ended")
    made.add_argument("--order", metavar="-", help=argparse.SUPPRESS)  # the window's order as JSON on stdin
    _progress(made)


def _add_ask(verbs: Verbs) -> None:
    about = "Ask a model; its answer is written out while it comes. Exit code 0 with an answer, 1 without."
    made = _verb(verbs, "ask", "studio.jobs.asking_verb:ask", about)
    made.add_argument("problem", metavar="PROBLEM", help="the text; - reads it from stdin")
    made.add_argument(
        "--model",
        default="",
        metavar="MODEL",
        help="the policy; with --router the fast one (default: one that travels with the app)",
    )
    made.add_argument("--prm", default="", metavar="MODEL", help="scores steps, for all strategies but the first two")
    made.add_argument(
        "--strategy",
        choices=("single", "majority", "best-of-n", "weighted", "beam", "lookahead", "dvts", "mcts"),
        default="single",
        help="how the answer is looked for (default: single)",
    )
    made.add_argument("--n", type=int, metavar="N", help="traces; of --router: samples of the fast model")
    made.add_argument("--difficulty", type=float, metavar="D", help="0 to 1 allocates the budgets (default: as set)")
    made.add_argument("--router", action="store_true", help="escalate to another model where this one is not sure")
    made.add_argument("--reasoning", default="", metavar="MODEL", help="of --router: the model to escalate to")
    made.add_argument("--learned", default="", metavar="ROUTER", help="of --router: one that was learned")
    made.add_argument("--reference", metavar="ANSWER", help="the right answer: says whether this one is")
    made.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of the recipe; repeatable"
    )
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    made.add_argument("--json", action="store_true", help="one JSON document, at the end")


def _add_cache(verbs: Verbs) -> None:
    about = "Say what routers have kept of answers and how often it helped; or remove it."
    made = _verb(verbs, "cache", "studio.jobs.cache_verb:cache", about)
    made.add_argument("--remove", action="store_true", help="remove answers: all, or as the next two say")
    made.add_argument("--model", default="", metavar="NAME", help="only of this model")
    made.add_argument(
        "--older-than", type=float, default=0.0, metavar="DAYS", help="of --remove: only what is older (default: all)"
    )
    made.add_argument("--json", action="store_true", help="one JSON document")


def _add_steering(verbs: Verbs) -> None:
    about = "Put the steps on which PRM and outcome disagree most into a labelling project."
    contested = _verb(verbs, "contested", "studio.jobs.steering:contested", about)
    contested.add_argument("run", metavar="RUN", help="uid, its beginning, or name, of an rl run")
    contested.add_argument("--count", type=int, default=10, metavar="N", help="at most so many steps (default: 10)")
    contested.add_argument("--project", default="", metavar="NAME", help='default: "Contested: " and the run\'s name')
    _progress(contested)
    resume = _verb(verbs, "resume", "studio.jobs.steering:resume", "Let a stopped run go on from its last checkpoint.")
    resume.add_argument("run", metavar="RUN", help="uid, its beginning, or name")
    resume.add_argument("--prm", default="", metavar="MODEL", help="score steps with this PRM from there on (rl only)")
    _progress(resume)


def _add_lists(verbs: Verbs) -> None:
    runs = _verb(verbs, "runs", "studio.jobs.headless:runs", "List the runs.")
    runs.add_argument("--json", action="store_true", help="one JSON list")
    runs.add_argument("--export", type=Path, metavar="DIR", help="write every figure of the runs into this folder")
    runs.add_argument("--format", choices=("csv", "tensorboard"), default="csv", help="of --export; default: csv")
    runs.add_argument(
        "--run", nargs="+", default=[], metavar="RUN", help="of --export: only these, by uid or name (default: all)"
    )
    _progress(runs)
    compare = _verb(verbs, "compare", "studio.jobs.compare:verb", "Put runs side by side: what differs, what came out.")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="uid, its beginning, or name")
    compare.add_argument("--all", action="store_true", help="also what the runs have in common")
    compare.add_argument("--json", action="store_true", help="one JSON document")
    about = "Say what a model or run was made from, and what was made from a model, run or annotation."
    lineage = _verb(verbs, "lineage", "studio.jobs.lineage:verb", about)
    lineage.add_argument("name", metavar="MODEL", help="a model, run or annotation: uid, name or folder")
    lineage.add_argument("--json", action="store_true", help="one JSON document with every annotation")
    traces = _verb(verbs, "traces", "studio.exchange.listing:traces_", "List the traces.")
    traces.add_argument("--json", action="store_true", help="one JSON list")
    traces.add_argument("--project", metavar="NAME", help="only this project (default: all)")
    traces.add_argument("--text", default="", help="only traces in which this stands")
    traces.add_argument("--limit", type=int, metavar="N", help="at most this many")


def _add_evaluate(verbs: Verbs) -> None:
    about = "List what evaluations found: models, suites and compute, with intervals. `run evaluate` makes them."
    made = _verb(verbs, "evaluate", "studio.exchange.results_verb:verb", about)
    made.add_argument("--suite", nargs="+", default=[], metavar="SUITE", help="only these (default: all)")
    made.add_argument("--model", nargs="+", default=[], metavar="MODEL", help="only these, by name (default: all)")
    made.add_argument("--json", action="store_true", help="one JSON list, a cell each")
    made.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: markdown")
    made.add_argument("--out", type=Path, metavar="FILE", help="write here instead")


def _add_contamination(verbs: Verbs) -> None:
    about = "Find problems of a benchmark among those that are learned from; exit code 1 when there are any."
    made = _verb(verbs, "contamination", "studio.jobs.contamination:verb", about)
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--project", metavar="NAME", help="all problems of this project")
    which.add_argument("--run", metavar="RUN", help="the problems of this run's training rows, by uid or name")
    made.add_argument(
        "--against", type=Path, metavar="FILE", required=True, help="JSON Lines with problem, question or prompt"
    )
    made.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of a problem's runs of eight words; from it on, a problem is nearly the same (default: 0.5)",
    )
    made.add_argument("--json", action="store_true", help="one JSON document with every pair")
    _progress(made)


def _add_failures(verbs: Verbs) -> None:
    about = "Say why wrong traces are wrong: first bad step, cause and quote; exit code 1 when a trace is wrong."
    made = _verb(verbs, "failures", "studio.jobs.rubric_verb:failures", about)
    made.add_argument("--project", metavar="NAME", help="only this project (default: all)")
    made.add_argument("--model", default="", help="look only at traces of this model")
    made.add_argument("--trace", action="append", type=int, metavar="N", help="look at this trace; repeatable")
    made.add_argument("--again", action="store_true", help="also at traces that these rules have explained")
    made.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="a step scored below it is bad (default: 0.5)"
    )
    made.add_argument("--rubric", default="", metavar="NAME", help="look for this rubric instead")
    made.add_argument(
        "--by", choices=("rule", "classifier", "judge"), default="rule", help="of --rubric: what looks (default: rule)"
    )
    made.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of --rubric by a run"
    )
    made.add_argument("--dry-run", action="store_true", help="of --rubric: say what it will take and cost; look not")
    made.add_argument("--json", action="store_true", help="one JSON document with every trace")
    _progress(made)


def _add_tour(verbs: Verbs) -> None:
    made = _verb(
        verbs, "tour", "studio.tour.verb:tour", "Walk through the window by key presses, offscreen.", workspace=False
    )
    made.add_argument("--screenshots", type=Path, metavar="DIR", help="where its pictures go (default: ./tour)")
    made.add_argument(
        "--long",
        action="store_true",
        help="after that a whole loop with a small policy: demonstrations, labels, PRM, RL; about ten minutes more",
    )


def _add_ingest(verbs: Verbs) -> None:
    made = _verb(verbs, "ingest", "studio.jobs.headless:ingest", None)
    made.add_argument("run", metavar="UID")
    _progress(made)


def _add_sample(verbs: Verbs) -> None:
    made = _verb(verbs, "sample", "studio.filling:sample", "Put the two sample projects into a workspace.")
    made.add_argument(
        "--demonstrations", action="store_true", help="instead: 20,000 demonstrations to teach a small policy on"
    )
    _progress(made)


def _add_key(verbs: Verbs) -> None:
    about = "Keep a key of a model server in the system's keyring; settings then name it, and hold it nowhere."
    made = _verb(verbs, "key", "studio.secrets:verb", about, workspace=False)
    made.add_argument("what", choices=("set", "forget", "check"), help="set reads the key from a prompt, or from stdin")
    made.add_argument("name", metavar="NAME", help="such as MY_SERVER_KEY")
