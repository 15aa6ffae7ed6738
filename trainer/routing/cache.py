"""Answers that were asked for before, in exactly the same way: a backend that looks before it asks.

A key is the hash of the problem, what stands before it, the model and all that shapes its answer. The problem is
normalised so far that no two that mean different things have one key: Unicode in composed form, line ends, spaces at
the ends of lines and blank lines around the whole; not case, and not spaces within a line. There is no matching by
meaning: questions that are turned round or negated lie too near (similarities of 0.83 and more), and a wrong answer
from a cache costs more than it saves.
"""

from __future__ import annotations

import hashlib
import json
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from trainer.contract.generated import Spent
from trainer.contract.kept_answers import DAY, Counts, Kept, KeptAnswers
from trainer.routing.values import Backend, Check, Effort, Question, Reply, Sample, Tell, whole

VERSION = 1  # of what a key is made of
_samples = msgspec.json.Decoder(tuple[Sample, ...])


def normalised(text: str) -> str:
    """A text as keys see it."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def key_of(question: Question, effort: Effort, identity: str) -> str:
    """64 hex digits."""
    grant = effort.grant(question)
    parts = {
        "version": VERSION,
        "problem": normalised(question.row.problem),
        "context": normalised(question.context),
        "model": identity,
        "effort": asdict(effort),
        "budget": [grant.thinking, grant.answer],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class Looked:
    """Lookups of this process so far."""

    hits: int = 0
    misses: int = 0


class Cached:
    """A backend in front of another one. Answers that failed, or of which samples are missing, are not kept."""

    def __init__(
        self, inner: Backend, folder: Path, *, days: float = 0.0, on_problem: Callable[[str], None] = lambda _: None
    ) -> None:
        """Answers older than `days` are asked for again (0 = never); `on_problem` hears of damaged files."""
        self._inner, self.days, self._on_problem = inner, days, on_problem
        self._kept = KeptAnswers(folder, inner.name, inner.identity)
        self.looked = Looked()

    @property
    def name(self) -> str:
        """That of the model behind it."""
        return self._inner.name

    @property
    def identity(self) -> str:
        """That of the model behind it."""
        return self._inner.identity

    def ask(
        self, questions: Sequence[Question], effort: Effort, check: Check, tell: Tell | None, until: float | None
    ) -> list[Reply]:
        """What is kept at once, the rest from the model; and that is kept."""
        keys = [key_of(question, effort, self.identity) for question in questions]
        replies = {place: reply for place, key in enumerate(keys) if (reply := self._hit(key)) is not None}
        left = [place for place in range(len(questions)) if place not in replies]
        self._count(list(replies.values()), len(left))
        if tell is not None:
            tell([whole(place, k, sample.trace) for place, r in replies.items() for k, sample in enumerate(r.samples)])
        if left:
            asked = self._inner.ask([questions[place] for place in left], effort, check, tell, until)
            for place, reply in zip(left, asked, strict=True):
                replies[place] = reply
                if reply.samples and not reply.problem:
                    self._keep(keys[place], reply)
        return [replies[place] for place in range(len(questions))]

    def _hit(self, key: str) -> Reply | None:
        began = time.monotonic()
        found = self._kept.get(key)
        if found.problem:
            self._on_problem(found.problem)
        if found.kept is None or (self.days and time.time() - found.kept.at > self.days * DAY):
            return None
        try:
            samples = _samples.decode(found.kept.value)
        except msgspec.MsgspecError as error:
            self._on_problem(f"an answer in {self._kept.path} is of another version ({error}); it is asked for again")
            return None
        return Reply(samples, Spent(seconds=time.monotonic() - began, cached=True), saved=found.kept.spent)

    def _count(self, hits: Sequence[Reply], misses: int) -> None:
        self.looked.hits += len(hits)
        self.looked.misses += misses
        saved = [reply.saved for reply in hits]
        counts = Counts(
            len(hits),
            misses,
            sum(spent.cost for spent in saved),
            sum(spent.seconds for spent in saved),
            sum(spent.tokens for spent in saved),
        )
        try:
            self._kept.count(counts)
        except OSError as error:
            self._on_problem(f"the cache cannot count: {error}")

    def _keep(self, key: str, reply: Reply) -> None:
        value = msgspec.Raw(msgspec.json.encode(reply.samples))
        try:
            self._kept.put(Kept(key=key, at=time.time(), spent=reply.spent, value=value))
        except OSError as error:
            self._on_problem(f"an answer cannot be kept: {error}")
