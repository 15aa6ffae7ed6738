"""Blocks of a response in the harmony format: channels analysis, commentary and final between special marks."""

from __future__ import annotations

import re

from trainer.contract.records import Block, BlockKind

_HEAD = re.compile(
    r"(?:<\|start\|>(?P<role>[^<]*?))?(?:<\|channel\|>(?P<channel>[^<]*?))?(?:<\|constrain\|>[^<]*?)?<\|message\|>"
)
_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_CHANNELS = {"analysis": BlockKind.THINKING, "final": BlockKind.ANSWER}


def is_harmony(text: str) -> bool:
    """Whether the text is written in channels."""
    begin = text[: len(text) - len(text.lstrip()) + 64].lstrip()
    return begin.startswith(("<|channel|>", "<|start|>")) and "<|message|>" in text


def blocks_of(text: str) -> tuple[Block, ...]:
    """One block a message of the format; heads and ends are markup."""
    blocks = []
    at = 0
    while (head := _HEAD.search(text, at)) is not None:
        end = _END.search(text, head.end())
        stop = len(text) if end is None else end.start()
        if stop > head.end():
            blocks.append(Block(_kind(head["role"] or "", head["channel"] or ""), head.end(), stop))
        at = stop
        if end is None:
            break
    return tuple(blocks)


def _kind(role: str, channel: str) -> BlockKind:
    name = channel.split()[0] if channel.split() else ""
    if role and not role.startswith("assistant"):
        known = ("user", "system", "developer")
        return BlockKind.OTHER if role.split()[0] in known else BlockKind.TOOL_RESULT
    if " to=" in f" {channel}" or " to=" in role:
        return BlockKind.TOOL_CALL
    return _CHANNELS.get(name, BlockKind.OTHER)
