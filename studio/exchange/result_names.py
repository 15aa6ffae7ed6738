"""What rows and columns of the results table are called: no more words than tell them apart, and never fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from studio.store.evaluation_rows import PRM_VERSION, Key
from trainer.contract.spec import Value
from trainer.contract.specs.evaluate import Chosen, ComputePreset, Suite, heading_of

UNKNOWN = "settings not known"
CAP, PRM = "budget", "prm"
_WORDS: dict[str, Callable[[Value], str]] = {
    "n": lambda value: f"n {value}",
    CAP: lambda value: f"thinking ≤ {value:,}" if isinstance(value, int) else f"{value} cap on thinking",
    "temperature": lambda value: f"T {value:g}",
    "top_p": lambda value: f"top-p {value:g}",
    "max_answer_tokens": lambda value: f"answer ≤ {value:,}",
    "difficulty": lambda value: f"difficulty {value:g}",
    "threshold": lambda value: f"threshold {value:g}",
    "code_seconds": lambda value: f"{value:g} s",
    "code_mib": lambda value: f"{value} MiB",
    PRM: lambda value: f"scored by {value}",
    "aggregation": lambda value: f"by {value}",
    PRM_VERSION: lambda value: f"PRM {str(value)[:6]}",
}
SETTINGS = tuple(name for name in _WORDS if name not in (CAP, PRM))
"""What may stand in a key's settings."""
_OF_ROW = ("aggregation", PRM_VERSION)
_FOLLOWS = ("top_p",)  # missing where the temperature says so
_ORDER = (
    Suite.AIME, Suite.MATH500, Suite.GSM8K, Suite.ARC, Suite.HUMANEVAL, Suite.PROGRAMS, Suite.OWN, Suite.REGRESSIONS,
    Suite.PROCESSBENCH, Suite.PRMBENCH,
)  # fmt: skip
_PRESETS = tuple(ComputePreset)
Said = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Column:
    """A suite under one preset and equal settings; `compute` is "" where the settings were made by hand.

    `apart` says in what it differs from other columns of the suite and preset; `settings` says them all.
    """

    suite: str
    compute: str
    apart: str
    settings: str

    @property
    def heading(self) -> str:
        """The suite as tables name it."""
        return heading_of(self.suite)

    @property
    def conditions(self) -> str:
        """The preset, and in what it differs."""
        return ", ".join(filter(None, [f"{self.compute} compute" if self.compute else "", self.apart]))

    @property
    def name(self) -> str:
        """The whole."""
        return ", ".join(filter(None, [self.heading, self.conditions]))

    @property
    def order(self) -> tuple[int, str, int]:
        """As the published tables have the suites; presets by what they cost. Equal ones stay in their order."""
        known = self.suite in set(Suite)
        preset = self.compute or ComputePreset.BY_HAND.value
        place = _PRESETS.index(ComputePreset(preset)) if preset in set(_PRESETS) else len(_PRESETS)
        return _ORDER.index(Suite(self.suite)) if known else len(_ORDER), self.heading, place


def labels(keys: Iterable[Key], *, caps: bool = True) -> dict[Key, tuple[str, Column]]:
    """Row and column of each cell. Without `caps` those that differ in the cap on thinking alone share a column."""
    every = list(dict.fromkeys(keys))
    of_column = {key: _column_settings(key, caps) for key in every}
    of_row = {key: _row_settings(key) for key in every}
    across = _apart(every, lambda key: (key.suite, key.compute), of_column)
    down = _apart(every, base_name, of_row)
    found = {}
    for key in every:
        compute = "" if key.compute == ComputePreset.BY_HAND else key.compute
        column = Column(key.suite, compute, across[key], told(of_column[key]))
        found[key] = (" · ".join(filter(None, [base_name(key), down[key]])), column)
    return found


def base_name(key: Key) -> str:
    """The model, its version and the strategy."""
    parts = [key.model, key.version[:6]] if key.version else [key.model]
    if key.strategy != Chosen.SINGLE:
        parts.append(f"{key.strategy} by {key.prm}" if key.prm and key.prm != key.model else key.strategy)
    return " · ".join(parts)


def told(settings: Said, names: Sequence[str] | None = None) -> str:
    """These settings in few words."""
    shown = [name for name in _ordered(settings) if names is None or name in names]
    return ", ".join(_WORDS[name](settings[name]) if name in _WORDS else f"{name} {settings[name]}" for name in shown)


def _ordered(names: Iterable[str]) -> list[str]:
    """Those that have words first, in their order."""
    given = set(names)
    return [*(name for name in _WORDS if name in given), *sorted(given - _WORDS.keys())]


def settings_words(key: Key) -> str:
    """Everything that a cell's figure depends on besides suite, model and preset."""
    return told({**_column_settings(key, True), **{name: value for name, value in key.settings if name in _OF_ROW}})


def _column_settings(key: Key, caps: bool) -> dict[str, Value]:
    found = {name: value for name, value in key.settings if name not in _OF_ROW}
    if not caps or (key.suite in set(Suite) and Suite(key.suite).judges_prm):
        return found
    return found | {CAP: "no" if key.budget is None else key.budget}


def _row_settings(key: Key) -> dict[str, Value]:
    found = {name: value for name, value in key.settings if name in _OF_ROW}
    return found | ({PRM: key.prm} if key.prm and key.strategy == Chosen.SINGLE and key.prm != key.model else {})


def _apart(keys: Sequence[Key], group: Callable[[Key], object], settings: Mapping[Key, Said]) -> dict[Key, str]:
    """By key, in what its settings differ from those of others in its group."""
    groups: dict[object, list[Key]] = {}
    for key in keys:
        groups.setdefault(group(key), []).append(key)
    found = {}
    for some in groups.values():
        names = _differing([settings[key] for key in some])
        for key in some:
            words = told(settings[key], names)
            found[key] = words or (UNKNOWN if names and not key.settings else "")
    return found


def _differing(some: Sequence[Said]) -> list[str]:
    """The names in which these are not alike."""
    found = []
    for name in _ordered(name for said in some for name in said):
        values = [said.get(name) for said in some]
        given = {value for value in values if value is not None}
        if len(given) > 1 or (given and None in values and name not in _FOLLOWS):
            found.append(name)
    return found
