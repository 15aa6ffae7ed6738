"""Words that are taken out are found in every form that the module names, at their own place and nowhere else."""

from __future__ import annotations

import base64
import html
import json
import unicodedata
from urllib.parse import quote

import pytest

from studio.errors import StoreError
from studio.exchange.disguises import Sought
from studio.exchange.redaction import MASK, Redaction

SECRET = 'sk-Tok3n/ä"Zq99_x'
RAW = SECRET.encode()
FORMS = {
    "as it is": SECRET,
    "capitals": SECRET.upper(),
    "zero width": "\u200b".join(SECRET),
    "soft hyphens": "\u00ad".join(SECRET),
    "a line break": f"{SECRET[:7]}\n{SECRET[7:]}",
    "spaces": " ".join(SECRET),
    "wide": "".join(chr(ord(c) + 0xFEE0) if 33 <= ord(c) < 127 else c for c in SECRET),
    "decomposed": unicodedata.normalize("NFD", SECRET),
    "percent": "".join(f"%{byte:02X}" for byte in RAW),
    "percent twice": quote(quote(SECRET)),
    "entities": "".join(f"&#{ord(c)};" for c in SECRET),
    "hex entities": "".join(f"&#x{ord(c):x};" for c in SECRET),
    "entities of percent": html.escape(quote(SECRET)),
    "unicode": "".join(f"\\u{ord(c):04x}" for c in SECRET),
    "unicode twice": "".join(f"\\\\u{ord(c):04x}" for c in SECRET),
    "bytes": "".join(f"\\x{ord(c):02x}" for c in SECRET),
    "braces": "".join(f"\\u{{{ord(c):x}}}" for c in SECRET),
    "json twice": json.dumps(json.dumps(SECRET)),
    "quoted printable": "".join(chr(b) if b < 128 else f"={b:02X}" for b in RAW),
    "hexadecimal": RAW.hex(),
    "hexadecimal, apart": RAW.hex(":").upper(),
    "base64": base64.b64encode(b"x" + RAW + b"yz").decode(),
    "base64, one on": base64.b64encode(RAW + b"y").decode(),
    "base64 for addresses": base64.urlsafe_b64encode(b"xy" + RAW).decode(),
    "base64 in lines": base64.encodebytes(b"a" * 50 + RAW + b"b" * 60).decode(),
    "base64 of UTF-16": base64.b64encode(SECRET.encode("utf-16-le")).decode(),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_disguised_text_is_masked_where_it_stands(form: str) -> None:
    redaction = Redaction.of([], [SECRET])
    text = f"before: {FORMS[form]} :after"
    masked = redaction.mask(text)
    assert len(masked) == len(text), "places stay"
    assert masked.startswith("before: ")
    assert masked.endswith(" :after")
    assert set(masked[8:-7]) <= {MASK, '"', "\\", "\n"}
    with pytest.raises(StoreError, match="still in trace 1"):
        redaction.prove([text], "trace 1")
    redaction.prove([redaction.shown(masked)], "trace 1")


@pytest.mark.parametrize(
    "text", ["nothing of it", "sk-Tok3n and Zq99_x apart", base64.b64encode(b"something else").decode()]
)
def test_other_words_stay(text: str) -> None:
    assert Redaction.of([], [SECRET]).mask(text) == text
    assert not Sought.of([]).stands_in(text)


def test_short_words_are_not_sought_in_another_case_or_across_spaces() -> None:
    redaction = Redaction.of([], ["Ann"])
    assert redaction.mask("Ann plans an n-gram") == f"{MASK * 3} plans an n-gram"
    assert redaction.mask("A\u200bnn") == MASK * 4


@pytest.mark.parametrize(
    "said", ["sk-\u200babcdef99", "sk-abc\n  def99", "%73k-abcdef99", base64.b64encode(b"key: sk-abcdef99").decode()]
)
def test_an_expression_matches_what_is_disguised(said: str) -> None:
    redaction = Redaction.of([r"sk-\w{6}\d+"]).found_in([said])
    assert redaction.texts == ("sk-abcdef99",)
    assert set(redaction.mask(said)) == {MASK}


def test_what_stands_across_two_stretches_is_masked_in_both() -> None:
    redaction = Redaction.of([], ["K-1234567"])
    text = "<think>say K-12</think>34567 now"
    masked = redaction.mask_over(text, [(7, 15), (23, len(text))])
    assert masked == f"<think>say {MASK * 4}</think>{MASK * 5} now"


@pytest.mark.parametrize(
    "text", [" " * 300_000, "\\" * 300_000, "%41" * 50_000, "41 " * 50_000, "QUJD" * 50_000, "e" + "\u0301" * 99_999]
)
def test_a_hostile_text_is_masked_in_time(text: str) -> None:
    redaction = Redaction.of([r"sk-\w+"], [SECRET]).found_in([text])
    assert redaction.mask(text) == text
