"""Prefixes that are kept: what the model remembers of them stands once, shared by all that grow from them."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import torch

from trainer.data import split_by_tokens
from trainer.models.engines import Engine
from trainer.models.kv import Kv, Segment, assemble, segment_bytes

PASS_TOKENS = 2048  # padded tokens read in one pass
WIDTHS = 8  # several prefixes are read in passes as wide as a multiple of it
KEPT_BYTES = 1 << 30


class Prefix:
    """Ids whose keys and values, but for the last token, are kept; the last is read when the prefix is continued.

    Only the tokens beyond `parent` are kept here. `memory` comes and goes: a prefix put aside is read again on need.
    """

    __slots__ = ("__weakref__", "ids", "memory", "parent", "version")

    def __init__(self, ids: tuple[int, ...], parent: Prefix | None) -> None:
        self.ids, self.parent = ids, parent
        self.memory: Segment | None = None
        self.version = -1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def start(self) -> int:
        """How many tokens the parent remembers."""
        return 0 if self.parent is None else len(self.parent.ids) - 1

    @property
    def own(self) -> int:
        """How many tokens are kept here."""
        return len(self.ids) - 1 - self.start

    def chain(self) -> list[Prefix]:
        """From the first ancestor to this prefix."""
        out = [self]
        while (parent := out[-1].parent) is not None:
            out.append(parent)
        return out[::-1]


class PrefixMemory:
    """Reads what prefixes need and forgets those used longest ago beyond `kept_bytes`."""

    def __init__(self, engine: Engine, device: torch.device, kept_bytes: int = KEPT_BYTES) -> None:
        self._engine, self._device, self._kept_bytes = engine, device, kept_bytes
        self._order: OrderedDict[int, weakref.ref[Prefix]] = OrderedDict()
        self.version = 0  # of the weights
        self.tokens_read = 0

    def rows(self, prefixes: Sequence[Prefix], room: int, check: Callable[[], None]) -> Kv:
        """One row a prefix, holding all but its last token, with room for `room` more. Equal neighbours share work."""
        distinct = {id(prefix): prefix for prefix in prefixes}
        chains = {key: prefix.chain() for key, prefix in distinct.items()}
        for depth in range(max(map(len, chains.values()))):
            level = {id(chain[depth]): chain[depth] for chain in chains.values() if depth < len(chain)}
            self._read([prefix for prefix in level.values() if not self._has(prefix)], check)
        parts = {key: [(at.memory or {}, at.own) for at in chain] for key, chain in chains.items()}
        self._use(at for chain in chains.values() for at in chain)
        return assemble([parts[id(prefix)] for prefix in prefixes], self._device, room)

    def keep(self, ids: tuple[int, ...], parent: Prefix, kv: Kv, row: int) -> Prefix:
        """A prefix that grew in a row of `kv`, which holds all but its last token."""
        prefix = Prefix(ids, parent)
        prefix.memory, prefix.version = kv.cut(row, prefix.own), self.version
        self._use((prefix,))
        return prefix

    def shrink(self) -> None:
        """Forget the oldest beyond the limit."""
        alive = [(key, prefix) for key, ref in self._order.items() if (prefix := ref()) is not None]
        self._order = OrderedDict((key, self._order[key]) for key, _ in alive)
        total = sum(segment_bytes(prefix.memory or {}) for _, prefix in alive)
        for key, prefix in alive:
            if total <= self._kept_bytes:
                return
            total -= segment_bytes(prefix.memory or {})
            prefix.memory = None
            del self._order[key]

    def _has(self, prefix: Prefix) -> bool:
        return prefix.own == 0 or (prefix.memory is not None and prefix.version == self.version)

    def _use(self, prefixes: Iterable[Prefix]) -> None:
        for prefix in prefixes:
            if prefix.memory is not None:
                self._order[id(prefix)] = weakref.ref(prefix)
                self._order.move_to_end(id(prefix))

    def _read(self, missing: Sequence[Prefix], check: Callable[[], None]) -> None:
        """Read prefixes whose parents are remembered, in passes of like length."""
        for group in split_by_tokens([len(prefix.ids) for prefix in missing], PASS_TOKENS):
            check()
            some = [missing[i] for i in group]
            chains = [[(at.memory or {}, at.own) for at in prefix.chain()[:-1]] or [({}, 0)] for prefix in some]
            width = max(prefix.own for prefix in some)
            if len(some) > 1:  # a pass of a new width is dear (see `products.rounded`)
                width = -(-width // WIDTHS) * WIDTHS
            kv = assemble(chains, self._device, width)
            ids = torch.zeros((len(some), width), dtype=torch.long)
            real = torch.zeros((len(some), width), dtype=torch.bool)
            for row, prefix in enumerate(some):
                ids[row, width - prefix.own :] = torch.tensor(prefix.ids[prefix.start : -1])
                real[row, width - prefix.own :] = True
            padding = None if bool(real.all()) else real.to(self._device)
            self._engine.states(ids.to(self._device), kv, padding)
            self.tokens_read += int(real.sum())
            for row, prefix in enumerate(some):
                prefix.memory, prefix.version = kv.cut(row, prefix.own), self.version
