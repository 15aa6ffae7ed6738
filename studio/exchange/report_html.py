"""A report as one HTML file: no scripts, no links, nothing loaded; thinking and tools fold by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from studio.exchange.trace_report import ToldBlock, ToldStep, ToldTrace, ToldTurn

STYLE = """
:root{--ink:#1a1e26;--soft:#56606f;--line:#dfe3ea;--page:#f4f5f8;--card:#fff;--bad:#b8302a;--good:#16744a;--mark:#ecf1fe}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaf0;--soft:#a3acbb;--line:#323845;--page:#14161b;--card:#1c1f26;
--bad:#ff8d84;--good:#5fce93;--mark:#232c42}}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:60rem;margin:2rem auto;
padding:0 1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1rem 1.2rem;margin:1.2rem 0}
h2{font-size:1.1rem;margin:0 0 .3rem}.soft{color:var(--soft);font-size:.86rem}
pre,.t{white-space:pre-wrap;unicode-bidi:plaintext;overflow-wrap:anywhere;margin:0;font:inherit}
.tool{font:13px/1.5 ui-monospace,monospace}summary{cursor:pointer;color:var(--soft)}
.turn{border-top:1px solid var(--line);padding:.5rem 0}.role{font-weight:600;font-size:.86rem}
.s{border-left:3px solid var(--line);padding-left:.5rem;display:block}.low{border-color:var(--bad)}
.high{border-color:var(--good)}.n{color:var(--soft);font-size:.8rem;float:right;margin-left:.6rem}
.flag{background:var(--mark);border-radius:6px;padding:.4rem .7rem;margin:.3rem 0}b.bad{color:var(--bad)}
""".replace("\n", "")
OUTCOMES = {None: "not graded", 0: "wrong", 1: "right"}
SIGNS = {-1: "−", 0: "0", 1: "+"}
FOLDED = {"tool_call": "tool call", "tool_result": "tool result", "redacted": "redacted: present, not readable"}
LOW = 0.5


def pages(title: str, told: Iterable[ToldTrace]) -> Iterator[str]:
    """The file, piece by piece."""
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f"content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>"
    )
    for trace in told:
        yield from _trace(trace)
    yield '<p class="soft">Written by Steplens.</p></body></html>\n'


def _trace(trace: ToldTrace) -> Iterator[str]:
    facts = [trace.place, trace.model, OUTCOMES[trace.outcome]]
    if trace.answer is not None:
        facts.append(f"answer {trace.answer}")
    if trace.reference is not None:
        facts.append(f"reference {trace.reference}")
    if trace.budget.used is not None:
        facts.append(f"{trace.budget.used:,} tokens" + (f", {trace.budget.ended}" if trace.budget.ended else ""))
    yield f'<section><h2>Trace {trace.id}</h2><p class="soft">{escape(" · ".join(f for f in facts if f))}</p>'
    yield f'<pre class="t">{escape(trace.prompt)}</pre>'
    for flag in trace.flags:
        known = f"severity {flag.severity}, {flag.state}, by {flag.monitor}"
        yield (
            f'<div class="flag"><b class="bad">{escape(flag.category)}</b> <span class="soft">{escape(known)}</span>'
            f"<br>“<bdi>{escape(flag.quote)}</bdi>” {escape(flag.why)}</div>"
        )
    for mark in trace.bookmarks:
        known = " · ".join(part for part in (mark.author, ", ".join(mark.tags)) if part)
        yield (
            f'<div class="flag"><b>bookmark</b> <span class="soft">{escape(known)}</span>'
            f"<br>“<bdi>{escape(mark.quote)}</bdi>” {escape(mark.comment)}</div>"
        )
    for turn in trace.turns:
        yield from _turn(turn)
    yield "</section>"


def _turn(turn: ToldTurn) -> Iterator[str]:
    head = " · ".join(part for part in (turn.role, turn.name, turn.at) if part)
    yield f'<div class="turn"><div class="role">{escape(head)}</div>'
    for block in turn.blocks:
        yield _block(block)
    yield "</div>"


def _block(block: ToldBlock) -> str:
    if block.kind == "markup":
        return f'<pre class="soft tool">{escape(block.text)}</pre>' if block.text.strip() else ""
    inner = "".join(map(_step, block.steps))
    if block.kind == "thinking":
        return f"<details open><summary>thinking</summary>{inner}</details>"
    if block.kind in FOLDED:
        return f'<details class="tool"><summary>{FOLDED[block.kind]}</summary>{inner}</details>'
    return inner


def _step(step: ToldStep) -> str:
    if step.ordinal is None:
        return f'<pre class="t">{escape(step.text)}</pre>' if step.text.strip() else ""
    known = [f"{name} {value:.2f}" for name, value in step.scores]
    known += ["rated " + " ".join(SIGNS[value] for value in step.ratings)] if step.ratings else []
    known += list(step.flags)
    low = any(value < LOW for _, value in step.scores) or -1 in step.ratings or bool(step.flags)
    high = not low and bool(step.scores or step.ratings)
    side = "s low" if low else "s high" if high else "s"
    note = f'<span class="n">{step.ordinal + 1} · {escape(" · ".join(known))}</span>' if known else ""
    return f'<span class="{side}">{note}<span class="t">{escape(step.text)}</span></span>'
