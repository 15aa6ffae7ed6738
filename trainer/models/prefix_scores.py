"""Scores of prefixes that grow, as a search asks for them: a step that was read once is never read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data import split_by_tokens
from trainer.models.engines import engine_for, plain_body
from trainer.models.kv import Segment, assemble, segment_bytes
from trainer.models.prefixes import KEPT_BYTES, PASS_TOKENS
from trainer.models.prm import Prm
from trainer.placement import Encoded

Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Read:
    """A stretch that was read: what the body remembers of its tokens, and the classes at its end if a step ends it."""

    memory: Segment
    tokens: int
    classes: Floats | None


@dataclass(frozen=True, slots=True)
class _Todo:
    """Tokens `start` to the end of a row still to be read, in stretches that end at `ends`."""

    row: Encoded
    keys: tuple[bytes, ...]
    ends: tuple[int, ...]
    start: int
    first: int  # number of the first stretch that is not remembered


class PrefixScores:
    """Class probabilities of a PRM's steps, as `class_probabilities` gives them, while the PRM's weights stay.

    What was read is remembered by the ids that lead to it, the prompt and every step by itself, and forgotten oldest
    first beyond `kept_bytes`. `tokens_read` and `tokens_asked` count what was read and what was asked for.
    """

    def __init__(self, prm: Prm, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._prm, self._kept_bytes = prm.eval(), kept_bytes
        self._engine = engine_for(plain_body(prm.body), None)
        self._known: OrderedDict[bytes, _Read] = OrderedDict()
        self._bytes = 0
        self.tokens_read = self.tokens_asked = 0

    def probabilities(self, rows: Sequence[Encoded], check: Callable[[], None] = lambda: None) -> list[Floats]:
        """Class probabilities [steps that fitted, classes] of every row; `check` is called between passes."""
        stretches = [_stretches(row) for row in rows]
        self.tokens_asked += sum(len(row.ids) for row in rows)
        self._known.setdefault(b"", _Read({}, 0, None))
        with torch.inference_mode():
            self._read_all(rows, stretches, prompts=True, check=check)
            self._read_all(rows, stretches, prompts=False, check=check)
        out = []
        for row, (keys, _) in zip(rows, stretches, strict=True):
            found = [self._known[key].classes for key in keys[1:]]
            empty = np.empty((0, self._prm.settings.classes), np.float32)
            out.append(np.stack([classes for classes in found if classes is not None]) if row.steps else empty)
        self._shrink()
        return out

    def _read_all(
        self,
        rows: Sequence[Encoded],
        stretches: Sequence[tuple[tuple[bytes, ...], tuple[int, ...]]],
        *,
        prompts: bool,
        check: Callable[[], None],
    ) -> None:
        """Read the prompts that are new, or all that is new behind them; equal rows once."""
        todo: dict[bytes, _Todo] = {}
        for row, (keys, ends) in zip(rows, stretches, strict=True):
            keys, ends = (keys[:1], ends[:1]) if prompts else (keys, ends)
            first = next((i for i, key in enumerate(keys) if key not in self._known), len(keys))
            for key in keys[:first]:
                self._known.move_to_end(key)
            if first < len(keys):
                todo[keys[-1]] = _Todo(row, keys, ends, ends[first - 1] if first else 0, first)
        waiting = list(todo.values())
        for group in split_by_tokens([item.ends[-1] for item in waiting], PASS_TOKENS):
            check()
            self._read([waiting[i] for i in group])

    def _read(self, group: Sequence[_Todo]) -> None:
        device = self._prm.device
        width = max(item.ends[-1] - item.start for item in group)
        chains = [self._chain(item) for item in group]
        kv = assemble(chains, device, width)
        ids = np.zeros((len(group), width), np.int64)
        real = np.zeros((len(group), width), np.bool_)
        for line, mask, item in zip(ids, real, group, strict=True):
            fresh = item.row.ids[item.start : item.ends[-1]]
            line[width - len(fresh) :] = fresh
            mask[width - len(fresh) :] = True
        padding = None if real.all() else torch.from_numpy(real).to(device)
        states = self._engine.states(torch.from_numpy(ids).to(device), kv, padding)
        self.tokens_read += int(real.sum())
        classes = self._classes(group, states, width)
        for number, item in enumerate(group):
            whole = kv.cut(number, item.ends[-1] - item.start)
            self._remember(item, whole, classes[number])

    def _classes(self, group: Sequence[_Todo], states: Tensor, width: int) -> list[list[Floats]]:
        """Class probabilities at the end of every new stretch of every row."""
        places = [
            number * width + width - item.ends[-1] + end - 1
            for number, item in enumerate(group)
            for end in item.ends[item.first :]
        ]
        taken = states.flatten(0, 1).index_select(0, torch.tensor(places, device=states.device))
        logits = self._prm.head(taken).float() / self._prm.settings.temperature
        flat = iter(logits.softmax(-1).cpu().numpy())
        return [[next(flat) for _ in item.ends[item.first :]] for item in group]

    def _chain(self, item: _Todo) -> list[tuple[Segment, int]]:
        known = [self._known[key] for key in item.keys[: item.first]]
        return [(read.memory, read.tokens) for read in known] or [({}, 0)]

    def _remember(self, item: _Todo, whole: Segment, classes: list[Floats]) -> None:
        """Cut what was read into the row's stretches; a prompt's end is no step's."""
        begin = item.start
        for number, (key, end) in enumerate(zip(item.keys[item.first :], item.ends[item.first :], strict=True)):
            part = slice(begin - item.start, end - item.start)
            alone = len(item.ends) - item.first == 1
            memory = whole if alone else {name: stretch[:, :, part].clone() for name, stretch in whole.items()}
            if key not in self._known:
                self._known[key] = _Read(memory, end - begin, classes[number])
                self._bytes += segment_bytes(memory)
            begin = end

    def _shrink(self) -> None:
        while self._bytes > self._kept_bytes and self._known:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= segment_bytes(oldest.memory)


def _stretches(row: Encoded) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """What leads to the end of the prompt and of every step, as keys, and these ends; what follows is left out."""
    whole = row.ids.tobytes()
    ends = (row.prompt, *(int(end) + 1 for end in row.ends))
    return tuple(whole[: end * row.ids.itemsize] for end in ends), ends
