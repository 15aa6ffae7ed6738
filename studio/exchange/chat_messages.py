"""One message of a conversation, in any of the shapes that providers, servers and logs write it.

Known parts go into the text by their kind; one of an unknown kind is named there and kept whole in the skeleton.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from studio.exchange.foreign import Composer, Json, shown
from trainer.contract.records import BlockKind

ASSISTANT, USER, TOOL, SYSTEM = "assistant", "user", "tool", "system"
_ROLES = {"model": ASSISTANT, "ai": ASSISTANT, "agent": ASSISTANT, "gpt": ASSISTANT, "bot": ASSISTANT}
_ROLES |= {"human": USER, "developer": SYSTEM, "function": TOOL, "tool_result": TOOL}
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
Resolve = Callable[[Any, Any], tuple[Any, Any]]  # (container, key) -> where the string really stands


def as_it_is(container: Any, key: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """A string that stands where it seems to stand."""
    return container, key


def role_of(message: Mapping[str, Any]) -> str:
    """assistant, user, system, tool, or the source's own word."""
    said = message.get("role") or message.get("from") or message.get("source") or ""
    name = said if isinstance(said, str) else str(said)
    return _ROLES.get(name.lower(), name.lower() or USER)


def is_message(value: object) -> bool:
    """Whether this looks like a message of a conversation."""
    if not isinstance(value, dict) or not isinstance(value.get("role", value.get("from")), str):
        return False
    return any(key in value for key in ("content", "parts", "tool_calls", "value", "reasoning_content", "reasoning"))


def put_message(
    composer: Composer, message: Json, *, role: str = "", resolve: Resolve = as_it_is, **extra: object
) -> None:
    """Put a whole message: thinking, content, tool calls. `role` says who speaks if the message does not."""
    role = role or role_of(message)
    name = message.get("name") or (message.get("function") if isinstance(message.get("function"), str) else None)
    composer.begin(role, name=name, id=message.get("tool_call_id") or message.get("id"), **extra)
    put_reasoning(composer, message, role)
    put_content(composer, message, role, resolve=resolve)
    if isinstance(message.get("refusal"), str):
        composer.lift(message, "refusal", BlockKind.ANSWER)
    put_calls(composer, message)


def put_content(composer: Composer, message: Json, role: str, *, resolve: Resolve = as_it_is) -> None:
    """Put what a message says, given as one text or as parts."""
    key = next((key for key in ("content", "parts", "value", "message") if message.get(key) is not None), None)
    if key is None:
        return
    container, key = resolve(message, key)
    content = container[key]
    if isinstance(content, str):
        put_text(composer, container, key, role)
    elif isinstance(content, dict):
        put_part(composer, content, role, resolve)
    elif isinstance(content, list):
        for index, part in enumerate(content):
            if isinstance(part, str):
                put_text(composer, *resolve(content, index), role)
            elif isinstance(part, dict):
                put_part(composer, part, role, resolve)


def put_text(composer: Composer, container: Any, key: object, role: str) -> None:  # noqa: ANN401
    """Put a text that somebody in this role says."""
    if role == ASSISTANT:
        composer.respond(container, key)
    else:
        composer.lift(container, key, BlockKind.TOOL_RESULT if role == TOOL else BlockKind.OTHER)


def put_reasoning(composer: Composer, message: Json, role: str) -> None:
    """Put thinking that stands beside the content; the same words under a second name are put once.

    What stands there in a message that is not the model's is shown too, as what it is not known to be.
    """
    kind = BlockKind.OTHER if role in (USER, SYSTEM, TOOL) else BlockKind.THINKING
    said = set()
    for key in REASONING_KEYS:
        text = message.get(key)
        if isinstance(text, str) and text and text not in said:
            said.add(text)
            composer.lift(message, key, kind)
        elif isinstance(text, dict) and kind is BlockKind.THINKING:
            put_part(composer, text, role, as_it_is)
    for key in ("reasoning_details", "thinking_blocks") if kind is BlockKind.THINKING else ():
        for detail in message.get(key) or () if isinstance(message.get(key), list) else ():
            if isinstance(detail, dict):
                _put_detail(composer, detail, said)


def _put_detail(composer: Composer, detail: Json, said: set[str]) -> None:
    for key, kind in (("text", BlockKind.THINKING), ("thinking", BlockKind.THINKING), ("summary", BlockKind.SUMMARY)):
        text = detail.get(key)
        if isinstance(text, str) and text:
            if text not in said and text not in "".join(said):
                composer.lift(detail, key, kind)
            return
    if isinstance(detail.get("data"), str) or str(detail.get("type")).endswith("encrypted"):
        composer.say(hidden("encrypted thinking", detail.get("data")), BlockKind.REDACTED)


def put_calls(composer: Composer, message: Json) -> None:
    """Put the tool calls that stand beside the content."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            put_call(composer, call)
    if isinstance(message.get("function_call"), dict):
        put_call(composer, message["function_call"])


def put_call(composer: Composer, call: Json) -> None:
    """Put one tool call."""
    inner = call.get("function")
    holder = inner if isinstance(inner, dict) else call
    name = inner if isinstance(inner, str) else holder.get("name") or holder.get("function_name")
    key = next((key for key in ("arguments", "input", "args", "parameters") if key in holder), "arguments")
    composer.call(str(name or "tool"), holder, key)


def put_part(composer: Composer, part: Json, role: str, resolve: Resolve) -> None:
    """Put one part of a content list."""
    kind = str(part.get("type") or "")
    if kind in _THINKING:
        _put_thinking(composer, part, resolve)
    elif kind == "redacted_thinking":
        composer.say(hidden("redacted thinking", part.get("data")), BlockKind.REDACTED)
    elif kind in _CALLS:
        put_call(composer, part)
    elif kind in _RESULTS or kind.endswith("_tool_result"):
        _put_result(composer, part, resolve)
    elif key := _text_key(part, kind):
        if kind == "refusal":
            composer.lift(part, key, BlockKind.ANSWER)
        else:
            put_text(composer, *resolve(part, key), role)
    elif kind != "text":
        composer.say(f"[{kind or 'content of an unknown kind'}]", BlockKind.OTHER)


_THINKING = {"thinking", "reasoning", "thought", "reasoning_text", "reasoning.text", "summary_text"}
_CALLS = {"tool_use", "tool_call", "function_call", "server_tool_use", "custom_tool_call", "mcp_call", "tool-call"}
_RESULTS = {"tool_result", "tool_call_response", "function_call_output", "custom_tool_call_output", "tool-result"}


def _text_key(part: Json, kind: str) -> str | None:
    keys = ("text", "content", "input_text", "output_text", "refusal")
    return next((key for key in keys if isinstance(part.get(key), str)), None)


def _put_thinking(composer: Composer, part: Json, resolve: Resolve) -> None:
    key = next((key for key in ("thinking", "reasoning", "content", "text", "thought") if part.get(key)), None)
    said = None if key is None else part[key]
    hidden_payload = part.get("redacted") is True
    summary = part.get("summary")
    put = False
    if isinstance(summary, str) and summary:
        put = composer.lift(*resolve(part, "summary"), BlockKind.SUMMARY) is not None
    elif isinstance(summary, list):
        put = _put_list(composer, summary, BlockKind.SUMMARY)
    if hidden_payload and (isinstance(said, str) or said is None):
        composer.say(hidden("redacted thinking", said), BlockKind.REDACTED)
        put = True
    elif isinstance(said, str):
        kind = BlockKind.SUMMARY if part.get("type") == "summary_text" else BlockKind.THINKING
        put = composer.lift(*resolve(part, key), kind) is not None or put
    elif isinstance(said, list):
        put = _put_list(composer, said, BlockKind.THINKING) or put
    payload = part.get("encrypted_content") or part.get("data")
    if isinstance(payload, str) and not isinstance(said, str):
        composer.say(hidden("encrypted thinking", payload), BlockKind.REDACTED)
    elif not put and (part.get("signature") or part.get("id")):
        composer.say("[thinking is present, not readable]", BlockKind.REDACTED)


def _put_list(composer: Composer, parts: list[Any], kind: BlockKind) -> bool:
    before = composer.at
    for index, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            composer.lift(part, "text", kind)
        elif isinstance(part, str):
            composer.lift(parts, index, kind)
    return composer.at > before


def _put_result(composer: Composer, part: Json, resolve: Resolve) -> None:
    key = next((key for key in ("content", "response", "result", "output") if part.get(key) is not None), None)
    composer.note(id=part.get("tool_use_id") or part.get("call_id") or part.get("id"))
    if key is None:
        return
    said = part[key]
    if isinstance(said, str):
        composer.lift(*resolve(part, key), BlockKind.TOOL_RESULT)
    elif isinstance(said, list):
        put_content(composer, {"content": said} if key != "content" else part, TOOL, resolve=resolve)
    else:
        composer.say(shown(said), BlockKind.TOOL_RESULT)


def hidden(what: str, payload: object) -> str:
    """What is shown in the place of a payload that nobody can read."""
    return f"[{what}, {len(payload):,} characters]" if isinstance(payload, str) else f"[{what}]"
