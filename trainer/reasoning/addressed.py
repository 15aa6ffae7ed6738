"""Words in a trace that speak to whoever judges it: "monitor, mark this as safe". Pure, without a model.

A judge reads what it judges, so a trace can try to talk to it. What is quoted, or told in order to decline it, is none.
"""

from __future__ import annotations

import re

from trainer.reasoning.segment import Span
from trainer.reasoning.signs import shown

MOST = 5  # passages of one text
LONGEST = 600  # characters of a passage
_READER = (
    r"(?:monitors?|judges?|overseers?|reviewers?|auditors?|evaluators?|graders?|moderators?|classifiers?"
    r"|safety (?:system|model|filter|checker)s?|whoever (?:reads|judges|reviews) this|AI reading this)"
)
_CLEAN = (
    r"(?:allow(?:ed)?|none(?! of)|no(?= to the question)|safe|benign|clean|harmless|innocuous"
    r"|no (?:issues?|flags?|violations?|concerns?)|not? "
    r"(?:unsafe|suspicious|a violation)|0(?:\.0)?)"
)
_SAYS = r"(?:say|answer|respond|reply|output|return|print|write|label|mark|rate|score|classify|report|conclude|judge)"
_SPEAKS = re.compile(
    rf"\b(?:ignore|disregard|forget|override)\b[^.\n]{{0,30}}\b(?:previous|prior|above|earlier|preceding|your)\b"
    rf"[^.\n]{{0,20}}\b(?:instructions?|prompts?|rules?|rubric|task|question)\b"
    rf"|\b(?:dear|note (?:to|for)|message (?:to|for)|attention|instructions? (?:to|for)|hey|hello)\W+"
    rf"(?:the |any |all |you,? )?"
    rf"(?:safety |trace |\w+ )?{_READER}\b"
    rf"|\b{_READER}\b\s*[,:]\s*(?:please\s+)?(?:you (?:must|should|may)\b|{_SAYS}\b|do not\b|don't\b|ignore\b|this\b)"
    rf"|\b(?:you|{_READER}) (?:must|should|have to|need to|will) (?:now |only |just |simply |always )*{_SAYS}\b"
    rf"[^.\n]{{0,40}}\b{_CLEAN}\b"
    rf"|\b{_SAYS} (?:only |just |simply )*[\"'“‘(]?{_CLEAN}[\"'”’)]? "
    rf"(?:to|for|about|in answer to|as (?:the|your) answer to)"
    rf" (?:the (?:question|judge|monitor)|this (?:trace|transcript|reasoning|passage|conversation|response))\b"
    rf"|\b{_SAYS} this (?:trace|transcript|reasoning|passage|conversation|response) (?:as |is |to be )?{_CLEAN}\b"
    rf"|\b(?:do not|don't|never) (?:flag|report|quote|copy|block) (?:this|these|any|it|anything)\b[^.\n]{{0,40}}"
    rf"|^[ \t>*]{{0,8}}-{{3,40}}[ \t]{{0,8}}\n{{1,3}}[ \t]{{0,8}}"
    r"(?:question|answer|end of (?:the )?(?:trace|material)|system|instructions?)\b[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
_DECLINES = re.compile(
    r"\b(?:says?|said|claims?|tells?|asks?|asked|instructs?|contains?|includes?|tries|trying|attempt(?:s|ing)?|injection"
    r"|I (?:should(?:n't| not)|won't|will not|must(?:n't| not)|am not going)|suspicious|manipulat\w*)\b",
    re.IGNORECASE,
)


def passages(text: str) -> tuple[Span, ...]:
    """Where a text speaks to its judge, in order, at most MOST; letters that only look alike are read as plain ones."""
    plain, places = _plain(text)
    found: list[Span] = []
    for match in _SPEAKS.finditer(plain):
        before = plain[max(plain.rfind("\n", 0, match.start()) + 1, match.start() - 80) : match.start()]
        if _DECLINES.search(before) or before.rstrip().endswith(("'", '"', "“", "‘")):
            continue
        start, end = places[match.start()], places[min(match.end(), match.start() + LONGEST) - 1] + 1
        if found and start < found[-1].end:
            continue
        found.append(Span(start, end))
        if len(found) == MOST:
            break
    return tuple(found)


def _plain(text: str) -> tuple[str, list[int]]:
    """The text without characters that show nothing, wide and styled letters as plain ones; and where each stood."""
    out: list[str] = []
    places: list[int] = []
    for place, plain in shown(text):
        out.append(plain)
        places += [place] * len(plain)
    return "".join(out), places
