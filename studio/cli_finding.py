"""What the verbs find, bookmarks, diff, report and flags take on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Protocol


class Verb(Protocol):
    """Makes the parser of a verb, with what all verbs take."""

    def __call__(self, name: str, handler: str, about: str | None) -> argparse.ArgumentParser:
        """By its name, the function that does it, and what it is for."""


def add(verb: Verb) -> None:
    """The verbs that find, compare and tell."""
    _find(verb)
    _bookmarks(verb)
    _diff(verb)
    _report(verb)
    _flags(verb)


def _find(verb: Verb) -> None:
    about = (
        "Find words or an expression in all traces, and where; exit code 1 when nothing is found, 2 when it cannot be "
        "asked, 3 when an expression takes too long in some traces, which are left out and named."
    )
    made = verb("find", "studio.exchange.finding:find_", about)
    made.add_argument("text", metavar="TEXT", nargs="?", default="", help="without it --filter lists traces")
    about = "only traces of which this holds, as in the window: 'tokens used from 4000'; repeatable"
    made.add_argument("--filter", dest="filters", metavar="CONDITION", action="append", default=[], help=about)
    made.add_argument("--any", action="store_true", help="any of the conditions suffices (default: all must hold)")
    made.add_argument("--saved", default="", metavar="NAME", help="the filter that is saved under this name")
    made.add_argument("--regex", action="store_true", help="TEXT is a regular expression")
    made.add_argument("--match-case", action="store_true", help="capitals count")
    made.add_argument(
        "--in",
        dest="places",
        action="append",
        default=[],
        choices=("problem", "thinking", "answer", "tool", "other"),
        help="only there; repeatable",
    )
    made.add_argument("--role", default="", help="only what this role said: user, assistant, tool, system")
    made.add_argument("--model", default="", help="only traces of this model")
    made.add_argument("--project", metavar="NAME", help="only traces of this project")
    made.add_argument("--outcome", choices=("right", "wrong"), help="only traces with this outcome")
    made.add_argument("--flag", default="", metavar="CATEGORY", help="only traces with such a flag")
    made.add_argument("--score-below", type=float, metavar="P", help="only traces whose lowest step score is below")
    made.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many traces (default: 50)")
    made.add_argument("--json", action="store_true", help="one JSON document with every span")


def _bookmarks(verb: Verb) -> None:
    about = "List bookmarks, or carry them as span annotations of OpenInference; exit code 1 when there are none."
    made = verb("bookmarks", "studio.exchange.bookmark_verb:bookmarks_", about)
    made.add_argument("--trace", type=int, metavar="N", help="only those of this trace")
    made.add_argument("--tag", default="", metavar="NAME", help="only those with this tag")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--export", metavar="PATH", help="write them there")
    which.add_argument("--import", dest="take_in", metavar="PATH", help="take them in from there")
    made.add_argument("--json", action="store_true", help="one JSON document")


def _diff(verb: Verb) -> None:
    about = "Put two traces, or the traces of two models, side by side; exit code 1 when they differ."
    made = verb("diff", "studio.exchange.finding:diff", about)
    made.add_argument("left", metavar="LEFT", help="a trace by its number, or with --models a model's name")
    made.add_argument("right", metavar="RIGHT")
    made.add_argument("--models", action="store_true", help="compare outcomes on the problems that both models tried")
    made.add_argument("--json", action="store_true", help="one JSON document")


def _report(verb: Verb) -> None:
    about = "Write traces with scores, ratings and flags to one file that opens offline."
    made = verb("report", "studio.exchange.reporting:report", about)
    made.add_argument("out", type=Path, metavar="OUT")
    forms = ("html", "markdown", "jsonl", "inspect", "otlp")
    made.add_argument("--form", choices=forms, help="default: by OUT's ending")
    made.add_argument("--title", default="Steplens report")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--trace", action="append", type=int, metavar="N", help="this trace; repeatable (default: all)")
    which.add_argument("--find", default="", metavar="TEXT", help="traces in which these words stand")
    which.add_argument("--project", metavar="NAME", help="traces of this project")
    made.add_argument(
        "--redact",
        action="append",
        default=[],
        metavar="REGEX",
        help="take out what this matches, everywhere; repeatable",
    )
    made.add_argument("--redact-flags", action="store_true", help="take out the quotes of flags, wherever they stand")
    made.add_argument("--json", action="store_true", help="say what was written as one JSON document")


def _flags(verb: Verb) -> None:
    about = "Say what the safety monitors found; exit code 0 clean, 1 flagged, 2 not all could be assessed."
    made = verb("flags", "studio.exchange.flag_listing:flags_", about)
    made.add_argument("--json", action="store_true", help="one JSON document")
    made.add_argument("--project", metavar="NAME", help="only this project (default: all)")
    made.add_argument("--category", metavar="NAME", help="list only findings of this category")
    made.add_argument(
        "--state",
        action="append",
        choices=("open", "confirmed", "rejected", "unsure"),
        help="list only findings in this state; repeatable (default: open and confirmed)",
    )
    made.add_argument("--limit", type=int, metavar="N", help="list at most this many findings")
