"""Quotes that say the same, put together: TF-IDF of words, average linkage, deterministic. numpy only."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LINKED = 600  # different texts that are linked pair by pair; the others join the group that they are most like
ALIKE = 0.35  # mean cosine from which two groups are one
_WORD = re.compile(r"\w+", re.UNICODE)
_NUMBER = re.compile(r"\d+")


def features(text: str) -> Counter[str]:
    """Words and pairs of neighbours, in lower case; every number is the same word."""
    words = [_NUMBER.sub("#", word) for word in _WORD.findall(text.casefold())]
    return Counter([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))])


def groups(texts: Sequence[str], *, alike: float = ALIKE) -> list[list[int]]:
    """Places of texts by group, the largest first, each in order. Equal texts (but for spaces and case) go together."""
    equal: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        equal.setdefault(" ".join(text.casefold().split()), []).append(place)
    keys = sorted(equal, key=lambda key: (-len(equal[key]), equal[key][0]))
    linked, rest = keys[:LINKED], keys[LINKED:]
    vectors, columns, rarity = _vectors(linked)
    members = [[linked[k] for k in group] for group in _linked(vectors, alike)]
    if rest:
        _join(members, rest, vectors, {key: k for k, key in enumerate(linked)}, columns, rarity, alike)
    found = [sorted(place for key in group for place in equal[key]) for group in members]
    return sorted(found, key=lambda group: (-len(group), group[0]))


def _vectors(texts: Sequence[str]) -> tuple[Floats, dict[str, int], dict[str, float]]:
    """TF-IDF rows of length 1 [texts, features]."""
    counts = [features(text) for text in texts]
    held = Counter(feature for count in counts for feature in count)
    columns = {feature: k for k, feature in enumerate(held)}
    rarity = {feature: math.log((1 + len(texts)) / (1 + number)) + 1.0 for feature, number in held.items()}
    made = np.zeros((len(texts), len(columns)), np.float32)
    for row, count in zip(made, counts, strict=True):
        at, values = _weighed(count, columns, rarity)
        row[at] = values
    return made, columns, rarity


def _weighed(
    count: Counter[str], columns: dict[str, int], rarity: dict[str, float]
) -> tuple[NDArray[np.int64], Floats]:
    """Columns and values, of length 1 together, of the features that are known."""
    known = [feature for feature in count if feature in columns]
    values = np.array([(1.0 + math.log(count[feature])) * rarity[feature] for feature in known], np.float32)
    length = float(np.linalg.norm(values))
    return np.array([columns[feature] for feature in known], np.int64), values / length if length else values


def _linked(vectors: Floats, alike: float) -> list[list[int]]:
    """Average linkage by cosine, the two groups most alike first, until none are alike enough."""
    number = len(vectors)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1.0)
    members: dict[int, list[int]] = {k: [k] for k in range(number)}
    while len(members) > 1:
        best = int(np.argmax(likeness))
        a, b = divmod(best, number)
        if likeness[a, b] < alike:
            break
        a, b = min(a, b), max(a, b)
        share = len(members[a]) / (len(members[a]) + len(members[b]))
        mixed = share * likeness[a] + (1.0 - share) * likeness[b]  # Lance and Williams: the mean over all pairs
        members[a] += members.pop(b)
        likeness[a], likeness[:, a] = mixed, mixed
        likeness[b], likeness[:, b] = -1.0, -1.0
        likeness[a, a] = -1.0
        gone = [k for k in range(number) if k not in members]
        likeness[a, gone], likeness[gone, a] = -1.0, -1.0
    return list(members.values())


def _join(
    members: list[list[str]],
    rest: Sequence[str],
    vectors: Floats,
    places: dict[str, int],
    columns: dict[str, int],
    rarity: dict[str, float],
    alike: float,
) -> None:
    """Rarer texts go to the group whose mean they are most like; those like none stand alone."""
    centres = np.stack([vectors[[places[key] for key in group]].mean(0) for group in members])
    for key in rest:
        at, values = _weighed(features(key), columns, rarity)
        likeness = centres[:, at] @ values
        best = int(np.argmax(likeness))
        if likeness[best] >= alike:
            members[best].append(key)
        else:
            members.append([key])
