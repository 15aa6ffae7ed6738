"""Random rows for TRL's `tokenize_row` and ours, on a tokenizer of bytes: nothing here depends on any library."""

from __future__ import annotations

import hashlib
import random

from trainer.placement import StepEncoder

LONG = 100_000
ODD = [
    "",
    " ",
    "\n",
    "a\nb",
    "\n\n",
    "<extra_0>",
    "x<extra_0>y",
    "ки",
    " ки\n",
    "+",
    "-",
    "é́",
    "😀",
    "\u200b",
    "  two  ",
]
ODD += ["<|im_end|>", "</s>", "<|eot_id|>", "\ue0000\ue001", "ﬁ", "ا", "\t", "½", "7 - 2 = 5.", "\\frac{1}{2}", "\r\n"]


class Bytes:
    """A tokenizer of one token a byte, with and without a begin token."""

    def __init__(self, bos: int | None) -> None:
        self.bos_token_id = bos

    def __call__(self, text: str | list[str], **_: object) -> dict[str, list]:
        many = [list(t.encode()) for t in ([text] if isinstance(text, str) else text)]
        return {"input_ids": many[0] if isinstance(text, str) else many}

    def encode(self, text: str, **_: object) -> list[int]:
        return list(text.encode())


def trl_rows(count: int) -> list[tuple[str, list[str], list[bool], str, int | None, int | None]]:
    """(prompt, steps, labels, separator, max_length, begin token) at random, without any library's help."""
    draw = random.Random(13)
    rows = []
    for _ in range(count):
        texts = ["".join(draw.choices([*ODD, "12", "so "], k=draw.randint(0, 5))) for _ in range(draw.randint(2, 9))]
        labels = [draw.random() < 0.7 for _ in texts[1:]]
        longest = None if draw.random() < 0.5 else draw.randint(1, 80)
        separator = draw.choice(["\n", "\n\n", " ки", "<sep>"])
        rows.append((texts[0], texts[1:], labels, separator, longest, draw.choice([None, 256])))
    return rows


def digest_of(rows: list[tuple[list[int], list[int]]]) -> str:
    """One digest over the ids and labels of all rows."""
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def our_rows(count: int) -> list[tuple[list[int], list[int]]]:
    """Ids and labels as TRL writes them: -100 but at the places."""
    out = []
    for prompt, steps, labels, separator, longest, bos in trl_rows(count):
        encoded = StepEncoder(Bytes(bos), separator, longest or LONG, "").encode(prompt, steps)
        row = [-100] * len(encoded.ids)
        for end, label in zip(encoded.ends, labels, strict=False):
            row[end] = int(label)
        out.append((encoded.ids.tolist(), row))
    return out
