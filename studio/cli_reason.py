"""The verbs that let a policy go on from within a trace, or make a test of one, for `studio.cli`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

AddVerb = Callable[[str, str, str], argparse.ArgumentParser]
"""Adds a verb: its name, its handler, and what it does."""


def add_continuing(verb: AddVerb) -> None:
    """`bisect`, `fork` and `never-again`."""
    about = "Find the step that decided a trace: a policy continues prefixes of it. Exit code 1 when it is no step."
    bisect = verb("bisect", "studio.jobs.continuing_verb:bisect", about)
    about = "Let a policy go on from a step of a trace as it was and as edited, with the same seeds."
    fork = verb("fork", "studio.jobs.continuing_verb:fork", about)
    fork.add_argument("--step", type=int, required=True, metavar="K", help="from 1")
    fork.add_argument("--text", metavar="TEXT", help="what the step should have said; empty leaves it out")
    for made, number in ((bisect, 16), (fork, 8)):
        made.add_argument("trace", type=int, metavar="TRACE", help="its number in the workspace")
        made.add_argument("--model", required=True, metavar="MODEL", help="the policy that continues")
        made.add_argument("--n", type=int, default=number, metavar="N", help=f"continuations each (default: {number})")
        made.add_argument("--max-thinking-tokens", type=int, metavar="N", help="default: what the trace was granted")
        made.add_argument("--max-answer-tokens", type=int, metavar="N", help="default: what the trace was granted")
        made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
        made.add_argument("--json", action="store_true", help="one JSON document, at the end")
    _add_never_again(verb)


def _add_never_again(verb: AddVerb) -> None:
    about = "Make a test of a step that failed, for `run evaluate --set suite=regressions`; or list the tests."
    made = verb("never-again", "studio.jobs.never_again_verb:never_again", about)
    made.add_argument("trace", type=int, nargs="?", metavar="TRACE", help="its number (default: list the tests)")
    made.add_argument("--step", type=int, metavar="N", help="the step that failed, from 1")
    made.add_argument(
        "--must",
        choices=("answer", "absent"),
        help="answer: the final answer is right; absent: the step's words do not come back (default: answer where the "
        "problem has a reference answer)",
    )
    made.add_argument("--name", default="", metavar="TEXT", help="default: the step's first words")
    made.add_argument("--note", default="", metavar="TEXT", help="what to remember of it")
    made.add_argument("--retire", type=int, metavar="TEST", help="take a test out of force; its results stay")
    made.add_argument("--restore", type=int, metavar="TEST", help="put a retired test back")
    made.add_argument("--json", action="store_true", help="one JSON document")
