"""Maths as pictures: LaTeX goes to a helper process and comes back as a mask of alpha values with a baseline.

Masks have no colour, so light and dark share them; `MathsRenderer.image` tints one. They are kept in memory and in a
file of the workspace's cache. A formula that cannot be drawn has a mask without alpha whose `trouble` says why: whoever
shows it falls back to its source.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QColor, QImage, QPainter

from studio.render.formula import LONGEST, PIECE, Formula, Helpers, Mask, Sized, order_of
from studio.render.mask_store import MaskStore

log = logging.getLogger(__name__)
HELD_MASKS = 8_000
HELD_IMAGE_BYTES = 48 << 20


class MathsRenderer(QObject):
    """Formulas to masks, from memory, from the cache file, from a helper, in this order; never blocks the caller.

    Signals:
        rendered(frozenset[Formula]): masks for these have come; `look` has them now.
    """

    rendered = Signal(object)
    _arrived = Signal(object)

    def __init__(self, helpers: Helpers, cache: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._helpers = helpers
        self._masks: OrderedDict[Sized, Mask] = OrderedDict()
        self._wanted: dict[Sized, bool] = {}
        self._images: OrderedDict[tuple[Sized, int], QImage] = OrderedDict()
        self._image_bytes = 0
        self._lock = threading.Lock()
        self._store = None if cache is None else MaskStore(cache)
        self._desk: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._clerk = threading.Thread(target=self._work, name="maths-cache", daemon=True)
        self._clerk.start()
        self._arrived.connect(self._on_arrived)

    def look(self, formula: Formula, quarters: int) -> Mask | None:
        """The mask of a formula if it is at hand; else None: `want` it."""
        if len(formula.latex) > LONGEST:
            return Mask(0, 0, 0.0, b"", f"longer than {LONGEST} characters")
        with self._lock:
            return self._masks.get(Sized(formula, quarters))

    def want(self, formulas: Iterable[Formula], quarters: int, *, urgent: bool = True) -> None:
        """Have these drawn; `rendered` tells when. Visible ones (`urgent`) go before those fetched ahead."""
        fresh: list[Sized] = []
        with self._lock:
            for formula in formulas:
                sized = Sized(formula, quarters)
                if sized in self._masks or len(formula.latex) > LONGEST:
                    continue
                if self._wanted.get(sized) or (sized in self._wanted and not urgent):
                    continue  # under way already, at this urgency
                self._wanted[sized] = urgent
                fresh.append(sized)
        if fresh:
            self._desk.put(lambda: self._fetch(fresh, urgent))

    def preload(self, formulas: Iterable[Formula], quarters: int) -> None:
        """Bring what the cache file holds into memory, here and now. For background threads that load a trace."""
        with self._lock:
            missing = [s for s in (Sized(f, quarters) for f in formulas) if s not in self._masks]
        if missing and self._store is not None:
            self._keep(self._store.load(missing))

    def image(self, formula: Formula, quarters: int, colour: QColor) -> QImage | None:
        """The formula tinted, in device pixels; None when it is not at hand or cannot be drawn."""
        key = (Sized(formula, quarters), int(colour.rgba()))
        if (held := self._images.get(key)) is not None:
            self._images.move_to_end(key)
            return held
        mask = self.look(formula, quarters)
        if mask is None or not mask.alpha:
            return None
        image = tinted(mask, colour)
        self._images[key] = image
        self._image_bytes += image.sizeInBytes()
        while self._image_bytes > HELD_IMAGE_BYTES and len(self._images) > 1:
            self._image_bytes -= self._images.popitem(last=False)[1].sizeInBytes()
        return image

    def close(self) -> None:
        """Write what is not yet written and let go of the cache file."""
        self._desk.put(None)
        self._clerk.join(5)

    # -- the clerk's thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._desk.get()) is not None:
            try:
                task()
            except Exception:
                log.exception("the cache of formulas failed")
        if self._store is not None:
            self._store.close()

    def _fetch(self, wanted: list[Sized], urgent: bool) -> None:
        found = {} if self._store is None else self._store.load(wanted)
        if found:
            self._keep(found)
            self._arrived.emit(frozenset(found))
        missing = [sized for sized in wanted if sized not in found]
        for start in range(0, len(missing), PIECE):
            part = missing[start : start + PIECE]
            self._helpers.submit("studio.render.maths_worker:draw", order_of(part), self._receiver(part), urgent=urgent)

    def _receiver(self, part: list[Sized]) -> Callable[[object], None]:
        return lambda result: self._desk.put(lambda: self._receive(part, result))

    def _receive(self, part: list[Sized], result: object) -> None:
        if isinstance(result, list):
            fresh = {sized: Mask(*values) for sized, values in zip(part, result, strict=True)}
            if self._store is not None:
                self._store.save(fresh)
        else:
            log.warning("a helper could not draw %s: %s", [s.formula.latex[:40] for s in part], result)
            fresh = {sized: Mask(0, 0, 0.0, b"", f"the helper failed: {result}") for sized in part}
        self._keep(fresh)
        self._arrived.emit(frozenset(fresh))

    def _keep(self, masks: dict[Sized, Mask]) -> None:
        with self._lock:
            self._masks.update(masks)
            for sized in masks:
                self._wanted.pop(sized, None)
            while len(self._masks) > HELD_MASKS:
                self._masks.popitem(last=False)

    def _on_arrived(self, sized: frozenset[Sized]) -> None:
        self.rendered.emit(frozenset(each.formula for each in sized))


def tinted(mask: Mask, colour: QColor) -> QImage:
    """A mask in one colour, premultiplied ARGB."""
    alpha = QImage(mask.alpha, mask.width, mask.height, mask.width, QImage.Format.Format_Alpha8)
    image = QImage(mask.width, mask.height, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(colour)
    painter = QPainter(image)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
    painter.drawImage(0, 0, alpha)
    painter.end()
    return image
