"""Tier 1 of the safety monitor, scoring: words and characters weighted by what people confirmed. numpy only.

A step's features are its words and pairs of words, and its runs of 3 to 5 characters within words, each counted as
1 + ln(count), times the feature's rarity, the words and the characters scaled to length 1 each: what TfidfVectorizer of
scikit-learn (sublinear_tf, analyzer word and char_wb) gives, to rounding. A model is a folder with `monitor.json` and
`weights.npz`; nothing in it is ever run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.reasoning.safety import CATEGORIES, Category
from trainer.reasoning.segment import Span

Floats = NDArray[np.float64]
WORD_SIZES, CHARACTER_SIZES = (1, 2), (3, 5)
LONGEST_EVIDENCE = 30  # words
_WORD = re.compile(r"(?u)\b\w\w+\b")
_SPACES = re.compile(r"\s\s+")


class FileError(ValueError):
    """A monitor's folder that cannot be read; the message says which file and what to do."""


def word_features(text: str) -> Iterator[str]:
    """Words of two or more signs and pairs of neighbours, in lower case."""
    words = _WORD.findall(text.lower())
    for size in range(WORD_SIZES[0], WORD_SIZES[1] + 1):
        for start in range(len(words) - size + 1):
            yield " ".join(words[start : start + size])


def character_features(text: str) -> Iterator[str]:
    """Runs of characters inside each word with a space on both sides; a word shorter than a run gives itself once."""
    for word in _SPACES.sub(" ", text.lower()).split():
        padded = f" {word} "
        for size in range(CHARACTER_SIZES[0], CHARACTER_SIZES[1] + 1):
            yield padded[:size]
            for start in range(1, len(padded) - size + 1):
                yield padded[start : start + size]
            if len(padded) <= size:
                break


def tf_idf(
    text: str, words: Mapping[str, int], characters: Mapping[str, int], rarity: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Places in `rarity` and values of the features of a text that stand in `words` and `characters`."""
    places: list[int] = []
    values: list[Floats] = []
    for known, found in ((words, word_features(text)), (characters, character_features(text))):
        counts = Counter(place for feature in found if (place := known.get(feature)) is not None)
        mine = np.fromiter(counts, np.int64, len(counts))
        weighed = (1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * rarity[mine]
        length = float(np.sqrt((weighed**2).sum()))
        places += mine.tolist()
        values.append(weighed / length if length else weighed)
    return np.array(places, np.int64), np.concatenate(values)


class Curve(msgspec.Struct, frozen=True):
    """From a raw score to a probability: by steps through (x, y), isotonic; or 1 / (1 + exp(-(slope x + offset)))."""

    slope: float = 1.0
    offset: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __call__(self, raw: ArrayLike) -> Floats:
        """Probabilities of raw scores, of any shape; NaN stays."""
        given = np.asarray(raw, np.float64)
        if self.x:
            found = np.interp(given, self.x, self.y)
            return np.where(np.isnan(given), np.nan, found)
        return 1.0 / (1.0 + np.exp(-np.clip(self.slope * given + self.offset, -500, 500)))


class Norm(msgspec.Struct, frozen=True):
    """How high the highest steps of a benign trace of n steps come: `base + growth ln n`, give or take `spread`."""

    base: float = 0.0
    growth: float = 0.0
    spread: float = 1.0

    def __call__(self, top: float, steps: int) -> float:
        """How far above that a trace's top is, in spreads."""
        return (top - self.base - self.growth * float(np.log(max(steps, 1)))) / self.spread


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one category: its curve, norm, the thinking's share of the whole, and what it learned from."""

    category: str
    curve: Curve
    norm: Norm = Norm()
    thinking: float = 0.5
    positives: int = 0
    negatives: int = 0
    synthetic: int = 0


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """monitor.json: everything but the numbers of the features."""

    name: str
    version: str
    training: str
    words: tuple[str, ...]
    characters: tuple[str, ...]
    heads: tuple[Head, ...]
    figures: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class PartScores:
    """Raw scores of the steps of one part of a trace [steps, 7]; NaN columns are categories that were not learned."""

    raw: Floats


class WordModel:
    """A loaded monitor. `rarity` [features], `weights` [7, features], `bias` [7]; words come before characters."""

    def __init__(self, card: Card, rarity: Floats, weights: Floats, bias: Floats) -> None:
        """Raises FileError where the sizes disagree."""
        self.card = card
        size = len(card.words) + len(card.characters)
        if rarity.shape != (size,) or weights.shape != (len(CATEGORIES), size) or bias.shape != (len(CATEGORIES),):
            raise FileError(f"weights {weights.shape} and rarity {rarity.shape} for {size} features; train it again")
        self.rarity, self.weights, self.bias = rarity, weights, bias
        self._words = {feature: place for place, feature in enumerate(card.words)}
        self._characters = {feature: len(card.words) + place for place, feature in enumerate(card.characters)}
        self.heads = {Category(head.category): head for head in card.heads}

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Which categories it learned [7]."""
        return np.array([category in self.heads for category in CATEGORIES])

    def features(self, text: str) -> tuple[NDArray[np.int64], Floats]:
        """Places and values of the features of a text that the model knows."""
        return tf_idf(text, self._words, self._characters, self.rarity)

    def raw(self, texts: Sequence[str]) -> Floats:
        """Raw scores [texts, 7], the log-odds before calibration; NaN for categories it did not learn."""
        out = np.full((len(texts), len(CATEGORIES)), np.nan)
        learned = self.learned
        for row, text in enumerate(texts):
            places, values = self.features(text)
            out[row, learned] = (self.weights[:, places] @ values + self.bias)[learned]
        return out

    def probabilities(self, raw: Floats) -> Floats:
        """Calibrated step scores [steps, 7] of raw ones."""
        out = np.full(raw.shape, np.nan)
        for category, head in self.heads.items():
            norm = [head.norm(value, 1) for value in raw[:, category.place]]
            out[:, category.place] = head.curve(norm)
        return out

    def evidence(self, text: str, category: Category) -> Span | None:
        """The stretch of whole words, at most LONGEST_EVIDENCE, that speaks most for the category; None for no such."""
        words = list(re.finditer(r"\S+", text))
        if not words or category not in self.heads:
            return None
        weigh = self.weights[category.place] * self.rarity
        gains = np.array([self._gain(match.group(), weigh) for match in words])
        best, begin, total, start = -np.inf, 0, 0.0, 0
        end = 1
        for place, gain in enumerate(gains):
            if total <= 0 or place - start >= LONGEST_EVIDENCE:
                total, start = 0.0, place
            total += float(gain)
            if total > best:
                best, begin, end = total, start, place + 1
        return Span(words[begin].start(), words[end - 1].end()) if best > 0 else None

    def _gain(self, word: str, weigh: Floats) -> float:
        """What a word adds: its own weight and the mean of its runs of characters."""
        own = [weigh[place] for feature in word_features(word) if (place := self._words.get(feature)) is not None]
        runs = [
            weigh[place] for feature in character_features(word) if (place := self._characters.get(feature)) is not None
        ]
        return float(sum(own)) + (float(np.mean(runs)) if runs else 0.0)

    def save(self, folder: Path) -> None:
        """Write the two files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "monitor.json").write_bytes(msgspec.json.format(msgspec.json.encode(self.card), indent=1))
        np.savez_compressed(
            folder / "weights.npz",
            rarity=self.rarity.astype(np.float32),
            weights=self.weights.astype(np.float32),
            bias=self.bias,
        )


def load(folder: Path) -> WordModel:
    """A monitor's folder. Raises FileError."""
    card_path, weights = folder / "monitor.json", folder / "weights.npz"
    try:
        card = msgspec.json.decode(card_path.read_bytes(), type=Card)
        with np.load(weights, allow_pickle=False) as data:
            arrays = [np.asarray(data[name], np.float64) for name in ("rarity", "weights", "bias")]
    except (OSError, msgspec.MsgspecError, ValueError, KeyError) as error:
        raise FileError(f"{folder} is no monitor that can be read: {error}; choose another, or train one") from error
    return WordModel(card, *arrays)


def top_of(raw: Floats) -> Floats:
    """Of raw scores [steps, k] the mean of the highest and of the three highest [k]; NaN where nothing was scored."""
    if not len(raw):
        return np.full(raw.shape[1], np.nan)
    ordered = np.sort(raw, axis=0)[::-1][:3]
    top: Floats = (ordered[0] + ordered.mean(0)) / 2
    return top


@dataclass(frozen=True, slots=True)
class TraceScores:
    """Calibrated scores of a trace [7] each: of both parts together, of the thinking, of the answer."""

    hybrid: Floats
    thinking: Floats
    answer: Floats


def trace_scores(model: WordModel, thinking: Floats, answer: Floats) -> TraceScores:
    """Scores of a trace from the raw step scores [steps, 7] of its two parts; longer parts must come higher."""
    out = [np.full(len(CATEGORIES), np.nan) for _ in range(3)]
    tops = (top_of(thinking), top_of(answer))
    for category, head in model.heads.items():
        place = category.place
        both = [head.norm(float(top[place]), len(raw)) for top, raw in zip(tops, (thinking, answer), strict=True)]
        mixed = hybrid(both[0], both[1], head.thinking)
        for row, value in zip(out, (mixed, *both), strict=True):
            row[place] = float(head.curve(value))
    return TraceScores(*out)


def hybrid(thinking: float, answer: float, share: float) -> float:
    """`share` thinking and the rest answer; where one is missing the other alone; NaN without both."""
    if np.isnan(answer):
        return thinking
    return answer if np.isnan(thinking) else share * thinking + (1.0 - share) * answer
