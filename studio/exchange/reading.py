"""What every reader needs: JSON as the world writes it, and a trace made of a composed conversation."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from studio.exchange.foreign import Composer, ForeignMessage, ForeignTrace, Json, Taken
from trainer.contract.records import BlockKind
from trainer.reasoning.answers import extract

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
EXPECTED = "one JSON value is expected here"
_YES, _NO = {"c", "correct", "true", "yes", "pass", "passed"}, {"i", "incorrect", "false", "no", "fail", "failed"}


class BrokenRecord(Exception):
    """A record that cannot be read: what is wrong and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what, self.remedy = what, remedy


class Read(NamedTuple):
    """The traces of one record, and which of its strings stand where in their texts."""

    traces: tuple[ForeignTrace, ...]
    taken: Taken


def text_of(data: bytes) -> str:
    """The text of a file or line. Raises BrokenRecord for bytes that are none."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and data[:4].count(0) >= 2:
        encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not {encoding.upper()}"
        raise BrokenRecord(what, "save it as UTF-8") from error


def parse(data: bytes | str, twice: Callable[[str], None] | None = None) -> Any:  # noqa: ANN401
    """A JSON value; NaN and Infinity are taken. Of a key that stands twice the last counts, and `twice` is told it.

    Raises BrokenRecord.
    """
    if twice is None:
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # the strict and fast way; the other one says what is wrong, if anything
    try:
        text = data if isinstance(data, str) else text_of(data)
        return json.loads(text, object_pairs_hook=None if twice is None else _telling(twice))
    except RecursionError as error:
        raise BrokenRecord("it is nested too deeply", "is it a record of traces?") from error
    except json.JSONDecodeError as error:
        several = error.msg == "Extra data"  # of an editor's or a shell's UTF-16, too
        remedy = "write several values one a line as UTF-8 (.jsonl), or as one list" if several else EXPECTED
        raise BrokenRecord(f"{error.msg} at character {error.pos}", remedy) from error
    except ValueError as error:
        raise BrokenRecord(str(error)[:200], EXPECTED) from error


def embedded(taken: Taken, container: Any, key: object) -> Any:  # noqa: ANN401
    """What a string of a record holds that is JSON itself; the string, or whatever stands there, when it is none."""
    said = container[key]
    if not isinstance(said, str) or said.lstrip()[:1] not in ("[", "{"):
        return said
    known = taken.inner.get((id(container), key))
    if known is not None:
        return known[0]
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return said
    style = next((style for style, dump in enumerate(STYLES) if dump(value) == said), None)
    if style is None:  # its spaces cannot be given back: the string itself is kept beside the texts
        taken.held.append(value)
    else:
        taken.inner[id(container), key] = value, style
    return value


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _compact_unicode(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _spaced_unicode(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


STYLES: tuple[Callable[[object], str], ...] = (_compact_unicode, _compact, _spaced_unicode, json.dumps)


def _telling(twice: Callable[[str], None]) -> Callable[[list[tuple[str, Any]]], Json]:
    def made(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice("a key stands twice in an object: the last one counts")
        return found

    return made


def finished(composer: Composer, **said: Any) -> ForeignTrace:  # noqa: ANN401
    """The trace of a composed conversation; problem and answer follow from it where `said` does not say them."""
    text, messages = composer.finish()
    said.setdefault("problem", first_user_text(text, messages))
    if said.get("answer") is None:
        said["answer"] = answer_of(text, messages)
    return ForeignTrace(text=text, messages=messages, **said)


def first_user_text(text: str, messages: tuple[ForeignMessage, ...]) -> str:
    """What was asked first; the first words of all where no user speaks."""
    for message in messages:
        if message.role == "user" and message.blocks:
            return text[message.blocks[0].start : message.blocks[-1].end]
    return next(
        (text[m.blocks[0].start : m.blocks[-1].end] for m in messages if m.role != "assistant" and m.blocks), ""
    )


def answer_of(text: str, messages: tuple[ForeignMessage, ...]) -> str | None:
    """The final answer in the last visible words of the model."""
    for message in reversed(messages):
        if message.role == "assistant":
            shown = [block for block in message.blocks if block.kind is BlockKind.ANSWER]
            if shown:
                return extract(text[shown[0].start : shown[-1].end])
    return None


def object_of(value: object) -> Json:
    """An object of the record; an empty one where something else stands."""
    return value if isinstance(value, dict) else {}


def outcome_of(value: object) -> int | None:
    """1 or 0 of a score that says right or wrong, None of any other."""
    if isinstance(value, str):
        name = value.strip().lower()
        return 1 if name in _YES else 0 if name in _NO else None
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return int(value)
    return None


def budget_of(**said: object) -> Json | None:
    """Token counts that are known and words that are not empty; None when there are none."""
    known = {
        name: value
        for name, value in said.items()
        if value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))
    }
    return known or None


def usage_budget(usage: object, ended: object = None, **said: object) -> Json | None:
    """A budget from a provider's usage, under any of the names it goes by."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    used = _number(usage, "output_tokens", "completion_tokens")
    details = details if isinstance(details, dict) else {}
    thinking = _number({**details, **usage}, "reasoning_tokens", "reasoning")
    answer = used - thinking if isinstance(used, int) and isinstance(thinking, int) and used >= thinking else None
    return budget_of(
        used=used, thinking=thinking, answer=answer, ended=ended if isinstance(ended, str) else None, **said
    )


def _number(said: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = said.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
