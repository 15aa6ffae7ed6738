"""The attributes of OpenInference: messages and their parts flattened into dotted names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from studio.exchange.chat_messages import ASSISTANT, TOOL, hidden, role_of
from studio.exchange.foreign import Composer
from trainer.contract.records import BlockKind

_FIELD = re.compile(r"llm\.(?P<side>input|output)_messages\.(?P<at>\d+)\.message\.(?P<rest>.+)")
_PART = re.compile(r"contents\.(?P<at>\d+)\.message_content\.(?P<field>.+)")
_CALL = re.compile(r"tool_calls\.(?P<at>\d+)\.tool_call\.(?P<field>.+)")
Place = tuple[Any, object]
Fields = dict[str, Place]


def put(composer: Composer, places: Mapping[str, Place]) -> bool:
    """Put the messages of a span; False when it has none."""
    messages: dict[tuple[int, int], Fields] = {}
    for name, place in places.items():
        if match := _FIELD.fullmatch(name):
            side = int(match["side"] == "output")
            messages.setdefault((side, int(match["at"][:9])), {})[match["rest"]] = place
    for _, fields in sorted(messages.items()):
        _put_message(composer, fields)
    return bool(messages)


def _put_message(composer: Composer, fields: Fields) -> None:
    role = role_of({"role": _said(fields, "role")})
    composer.begin(role, name=_said(fields, "name"), id=_said(fields, "tool_call_id"))
    if isinstance(_said(fields, "content"), str):
        _put_text(composer, fields["content"], role)
    for part in _grouped(fields, _PART):
        _put_part(composer, part, role)
    for call in _grouped(fields, _CALL):
        arguments = call.get("function.arguments")
        name = str(_said(call, "function.name") or "tool")
        if arguments is None:
            composer.call(name, {}, "arguments")
        else:
            composer.call(name, arguments[0], arguments[1])


def _put_part(composer: Composer, part: Fields, role: str) -> None:
    kind, text = _said(part, "type"), _said(part, "text")
    if kind == "reasoning":
        if isinstance(text, str) and text:
            composer.lift(*part["text"], BlockKind.THINKING)
        payload = _said(part, "encrypted_content") or _said(part, "data")
        if payload is not None:
            composer.say(hidden("encrypted thinking", payload), BlockKind.REDACTED)
        elif not text:
            composer.say("[thinking is present, not readable]", BlockKind.REDACTED)
    elif isinstance(text, str):
        _put_text(composer, part["text"], role)
    elif kind != "tool_use":
        composer.say(f"[{kind or 'content of an unknown kind'}]", BlockKind.OTHER)


def _put_text(composer: Composer, place: Place, role: str) -> None:
    if role == ASSISTANT:
        composer.respond(*place)
    else:
        composer.lift(*place, BlockKind.TOOL_RESULT if role == TOOL else BlockKind.OTHER)


def _grouped(fields: Fields, pattern: re.Pattern[str]) -> list[Fields]:
    found: dict[int, Fields] = {}
    for name, place in fields.items():
        if match := pattern.fullmatch(name):
            found.setdefault(int(match["at"][:9]), {})[match["field"]] = place
    return [found[at] for at in sorted(found)]


def _said(fields: Fields, name: str) -> Any:  # noqa: ANN401
    place = fields.get(name)
    return None if place is None else place[0][place[1]]
