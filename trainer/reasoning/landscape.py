"""Where steps lie to each other by their words: hashed TF-IDF vectors, and their two main directions (PCA)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 256
_WORD = re.compile(r"[a-z]+|\d|[-+*/=<>^]", re.IGNORECASE)
Floats = NDArray[np.float64]


def vectors(texts: Sequence[str], *, dimensions: int = DIMENSIONS) -> Floats:
    """Rows of length 1 (or 0 for a text without words), [n, dimensions]: counts by hashed word times their idf."""
    out = np.zeros((len(texts), dimensions))
    for row, text in enumerate(texts):
        for word in _WORD.findall(text.lower()):
            hashed = zlib.crc32(word.encode())
            out[row, hashed % dimensions] += 1.0 if hashed & 0x80000000 else -1.0
    seen = np.count_nonzero(out, axis=0)
    out *= np.log((1 + len(texts)) / (1 + seen)) + 1
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    scaled: Floats = out / lengths
    return scaled


def principal(rows: Floats, count: int = 2) -> tuple[Floats, Floats]:
    """The rows in their main directions [n, count], and the share of the variance that each of these has [count]."""
    centred = rows - rows.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    best = np.argsort(values)[::-1][:count]
    chosen = directions[:, best]
    chosen = chosen * np.where(chosen[np.abs(chosen).argmax(axis=0), np.arange(len(best))] < 0, -1.0, 1.0)
    total = max(float(values.clip(min=0).sum()), np.finfo(np.float64).tiny)
    return centred @ chosen, values[best].clip(min=0) / total
