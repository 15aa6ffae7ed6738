"""The verb `cache`: what the routers of a workspace have kept, how often it helped, and removing it."""

from __future__ import annotations

import argparse
import sys

import msgspec

from studio.workspace import Workspace
from trainer.contract import kept_answers


def cache(args: argparse.Namespace) -> int:
    """List the models of the cache; with --remove, take answers out of it first."""
    with Workspace.open(args.workspace) as workspace:
        folder = workspace.cache / "answers"
    removed = None
    if args.remove:
        removed = kept_answers.remove(folder, model=args.model or None, older_than_days=args.older_than)
    found = [
        each for each in kept_answers.statistics(folder) if not args.model or args.model in (each.name, each.identity)
    ]
    if args.json:
        document = {"removed": removed, "models": found}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
        return 0
    if removed is not None:
        sys.stdout.write(f"{removed} answers removed\n")
    for each in found:
        counts = each.counts
        lookups = counts.hits + counts.misses
        share = f"{100 * counts.hits / lookups:.0f} % of {lookups} lookups" if lookups else "never looked up"
        saved = f"{counts.saved_tokens} tokens, {counts.saved_seconds:.1f} s, cost {counts.saved_cost:.6g}"
        sys.stdout.write(
            f"{each.name}: {each.answers} answers, {each.bytes / 1024:.0f} KiB; {share} hit; saved {saved}\n"
        )
    if not found:
        sys.stdout.write("the cache is empty\n")
    return 0
