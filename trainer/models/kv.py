"""Keys and values of many rows in buffers with room to grow: rows leave, are set side by side, are cut out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Segment = dict[int, Tensor]  # per buffer [groups, heads, tokens, width]: what a stretch of tokens left behind
ROOM = 64  # slots added beyond what is needed, so that a buffer is seldom moved


@dataclass(slots=True)
class Kv:
    """Rows on the right: every row's newest token stands in slot `used` - 1, shorter rows have unused slots before it.

    `blocks` maps a buffer's number to [groups, rows, heads, capacity, width]; an engine makes them as it needs them.
    `lengths` [rows] counts real tokens; `valid` [rows, capacity] tells real slots, None while all slots are real.
    """

    rows: int
    device: torch.device
    blocks: dict[int, Tensor] = field(default_factory=dict)
    used: int = 0
    capacity: int = 0
    lengths: Tensor = field(init=False)
    valid: Tensor | None = None

    def __post_init__(self) -> None:
        self.lengths = torch.zeros(self.rows, dtype=torch.long, device=self.device)

    def block(self, number: int, groups: int, heads: int, width: int, dtype: torch.dtype) -> Tensor:
        """A buffer's live rows [groups, rows, heads, capacity, width], made of zeros when new."""
        if number not in self.blocks:
            shape = (groups, self.rows, heads, self.capacity, width)
            self.blocks[number] = torch.zeros(shape, dtype=dtype, device=self.device)
        return self.blocks[number][:, : self.rows]

    def reserve(self, slots: int) -> None:
        """Room for `slots` more tokens in every row."""
        needed = self.used + slots
        if needed <= self.capacity:
            return
        self.capacity = max(needed, min(self.capacity * 3 // 2, needed + 512)) + ROOM
        for number, block in self.blocks.items():
            groups, rows, heads, _, width = block.shape
            grown = block.new_zeros((groups, rows, heads, self.capacity, width))
            grown[:, : self.rows, :, : self.used] = block[:, : self.rows, :, : self.used]
            self.blocks[number] = grown
        if self.valid is not None:
            grown = self.valid.new_zeros((len(self.valid), self.capacity))
            grown[:, : self.used] = self.valid[:, : self.used]
            self.valid = grown

    def positions(self, length: int, real: Tensor | None) -> Tensor:
        """Position of each of `length` new tokens [rows, length]; where `real` is False any valid number."""
        if real is None:
            return self.lengths[: self.rows, None] + torch.arange(length, device=self.device)
        return (self.lengths[: self.rows, None] + real.cumsum(-1) - 1).clamp_min(0)

    def seen(self, length: int, real: Tensor | None) -> Tensor | None:
        """Slots that hold real tokens once `length` new ones stand [rows, used + length]; None when all do."""
        if self.valid is None and real is None:
            return None
        out = torch.ones((self.rows, self.used + length), dtype=torch.bool, device=self.device)
        if self.valid is not None:
            out[:, : self.used] = self.valid[: self.rows, : self.used]
        if real is not None:
            out[:, self.used :] = real
        return out

    def advance(self, length: int, real: Tensor | None) -> None:
        """Count `length` new tokens of every row, of which `real` [rows, length] are no padding."""
        if real is not None and self.valid is None:
            self.valid = torch.ones((self.rows, self.capacity), dtype=torch.bool, device=self.device)
        if self.valid is not None:
            fresh = True if real is None else real
            self.valid[: self.rows, self.used : self.used + length] = fresh
        self.lengths[: self.rows] += length if real is None else real.sum(-1)
        self.used += length

    def forget(self, row: int, tokens: int) -> None:
        """Take a row's newest real tokens back: their slots are never looked at again."""
        if not tokens:
            return
        if self.valid is None:
            self.valid = torch.ones((len(self.lengths), self.capacity), dtype=torch.bool, device=self.device)
        newest = self.valid[row, : self.used].nonzero()[-tokens:, 0]
        self.valid[row, newest] = False
        self.lengths[row] -= tokens

    def drop(self, row: int) -> None:
        """Let a row go: the last row takes its place."""
        last = self.rows - 1
        if row != last:
            for block in self.blocks.values():
                block[:, row, :, : self.used] = block[:, last, :, : self.used]
            self.lengths[row] = self.lengths[last]
            if self.valid is not None:
                self.valid[row] = self.valid[last]
        self.rows = last

    def cut(self, row: int, tokens: int) -> Segment:
        """A copy of what a row's newest `tokens` real tokens left behind."""
        start = self.used - tokens
        if self.valid is None or bool(self.valid[row, start : self.used].all()):
            return {number: block[:, row, :, start : self.used].clone() for number, block in self.blocks.items()}
        slots = self.valid[row, : self.used].nonzero()[-tokens:, 0] if tokens else self.valid.new_zeros(0).long()
        return {number: block[:, row].index_select(2, slots) for number, block in self.blocks.items()}


def assemble(chains: Sequence[Sequence[tuple[Segment, int]]], device: torch.device, room: int) -> Kv:
    """One row a chain of (segment, its tokens), with room for `room` more tokens; equal neighbours are copied at once.

    `chains` of the same list object are the same row (the traces of one prompt).
    """
    kv = Kv(len(chains), device)
    lengths = [sum(tokens for _, tokens in chain) for chain in chains]
    kv.used = max(lengths)
    kv.capacity = kv.used + room
    kv.lengths = torch.tensor(lengths, device=device)
    if min(lengths) < kv.used:
        slots = torch.arange(kv.capacity, device=device)
        kv.valid = slots >= kv.used - kv.lengths[:, None]
    row = 0
    while row < len(chains):
        last = row + 1
        while last < len(chains) and chains[last] is chains[row]:
            last += 1
        slot = kv.used - lengths[row]
        for segment, tokens in chains[row]:
            for number, stretch in segment.items() if tokens else ():
                block = kv.block(number, stretch.shape[0], stretch.shape[1], stretch.shape[3], stretch.dtype)
                block[:, row:last, :, slot : slot + tokens] = stretch[:, None]
            slot += tokens
        row = last
    return kv


def segment_bytes(segment: Segment) -> int:
    """Memory of a segment."""
    return sum(stretch.numel() * stretch.element_size() for stretch in segment.values())
