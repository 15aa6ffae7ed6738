"""One trace under one annotator's hands: what is rated, what is on its way to the store, what may be done next.

The rules of phase 2 (PRM800K): steps are rated in order, nothing behind the first negative is rated, what is rated can
be corrected in place, and a trace is submitted at its first negative step or when all are rated. The store holds the
same rules; this class only knows them early enough to draw.
"""

from __future__ import annotations

from dataclasses import dataclass

from studio.domain import Annotation, AnnotationState, Trace
from studio.ui.widgets.step_model import Mark, StepRow
from trainer.contract.records import FinishReason, Rating


@dataclass(slots=True)
class _Step:
    value: Rating | None = None
    unsure: bool = False
    waiting: int = 0  # writes that have not returned
    mark: Mark = Mark.NONE
    trouble: str = ""


class TraceWork:
    """Changes at once when a key is pressed; `saved` and `failed` say later what became of it."""

    def __init__(self, trace: Trace, annotation: Annotation | None, *, reference_wrong: bool = False) -> None:
        self.trace = trace
        self.reference_wrong = reference_wrong
        self.comment = ""
        self.state = AnnotationState.OPEN
        self.finish_reason: FinishReason | None = None
        self.current = 0
        self._texts = [trace.step_text(i) for i in range(len(trace.segmentation.steps))]
        self._steps = [_Step() for _ in trace.segmentation.steps]
        self.adopt(annotation)

    # -- what holds ---------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Number of steps."""
        return len(self._steps)

    @property
    def rated(self) -> int:
        """How many steps are rated, up to the first negative."""
        return sum(step.value is not None for step in self._steps[: self._end])

    @property
    def first_negative(self) -> int | None:
        """The first step rated negative."""
        return next((i for i, step in enumerate(self._steps) if step.value is Rating.NEGATIVE), None)

    @property
    def first_unrated(self) -> int:
        """The first step without a rating; `count` when there is none."""
        return next((i for i, step in enumerate(self._steps) if step.value is None), self.count)

    @property
    def is_submitted(self) -> bool:
        """Whether it has been submitted."""
        return self.state is AnnotationState.SUBMITTED

    @property
    def unsaved(self) -> tuple[int, ...]:
        """Steps whose last write failed."""
        return tuple(i for i, step in enumerate(self._steps) if step.mark is Mark.ERROR)

    @property
    def is_saving(self) -> bool:
        """Whether a write has not returned."""
        return any(step.waiting for step in self._steps)

    @property
    def may_submit(self) -> bool:
        """Whether there is a negative step behind rated ones, or all are rated, and everything is on its way."""
        return not self.is_submitted and not self.unsaved and self._is_complete

    @property
    def missing(self) -> str:
        """What stands between the annotator and Submit, for a person; empty when nothing does."""
        if self.is_submitted:
            return "submitted · correct it, or go on"
        if self.unsaved:
            return f"step {self.unsaved[0] + 1} is not saved; it is tried again"
        if self._is_complete:
            return ""
        return f"{self.rated} of {self.count} rated · first negative, or all"

    def value(self, ordinal: int) -> Rating | None:
        """The rating of a step."""
        return self._steps[ordinal].value

    def unsure(self, ordinal: int) -> bool:
        """Whether a step is marked unsure."""
        return self._steps[ordinal].unsure

    def may_rate(self, ordinal: int) -> bool:
        """Whether this step can be rated or corrected now."""
        return 0 <= ordinal < self._end and ordinal <= self.first_unrated

    def row(self, ordinal: int) -> StepRow:
        """The step as the list shows it."""
        return self._row(ordinal, self._end, self.first_unrated)

    def rows(self) -> tuple[StepRow, ...]:
        """All steps as the list shows them."""
        end, unrated = self._end, self.first_unrated
        return tuple(self._row(ordinal, end, unrated) for ordinal in range(self.count))

    def _row(self, ordinal: int, end: int, unrated: int) -> StepRow:
        step = self._steps[ordinal]
        ratable = ordinal < end and ordinal <= unrated
        return StepRow(
            ordinal,
            self._texts[ordinal],
            rating=step.value if ordinal < end else None,
            unsure=step.unsure,
            ratable=ratable,
            ahead=not ratable,
            mark=step.mark,
            trouble=step.trouble,
        )

    # -- what happens -------------------------------------------------------------------------------------------------

    def rate(self, ordinal: int, value: Rating | None) -> None:
        """A rating was given: it is shown at once, as saving; the next step becomes the current one."""
        self._steps[ordinal].value = value
        self.start(ordinal)
        on = value is not None and value is not Rating.NEGATIVE
        self.current = min(ordinal + on, self.count - 1)
        self._follow_submitted()

    def set_unsure(self, ordinal: int, on: bool) -> None:
        """The mark was set or taken away: shown at once, as saving."""
        self._steps[ordinal].unsure = on
        self.start(ordinal)

    def start(self, ordinal: int) -> None:
        """A write of this step is on its way."""
        step = self._steps[ordinal]
        step.waiting += 1
        step.mark, step.trouble = Mark.SAVING, ""

    def saved(self, ordinal: int) -> None:
        """The commit of a write returned."""
        step = self._steps[ordinal]
        step.waiting -= 1
        if not step.waiting and step.mark is not Mark.ERROR:
            step.mark = Mark.DONE

    def failed(self, ordinal: int, why: str) -> None:
        """A write failed: the step stays as the person set it, and dirty, until a write succeeds."""
        step = self._steps[ordinal]
        step.waiting -= 1
        step.mark, step.trouble = Mark.ERROR, why

    def forgive(self, ordinal: int) -> None:
        """The failed write of a step is given up: the store's word holds."""
        self._steps[ordinal].mark, self._steps[ordinal].trouble = Mark.NONE, ""

    def adopt(self, annotation: Annotation | None, *, place: bool = True) -> None:
        """Take what the store has, where nothing newer is on its way; with `place` the current step, too."""
        stored = {r.ordinal: r for r in annotation.ratings if r.option == 0} if annotation else {}
        for ordinal, step in enumerate(self._steps):
            if step.waiting or step.mark is Mark.ERROR:
                continue
            found = stored.get(ordinal)
            step.value = found.value if found else None
            step.unsure = bool(found and found.unsure)
        self.comment = (annotation.comment if annotation else None) or ""
        self.state = AnnotationState(annotation.state) if annotation else AnnotationState.OPEN
        self.finish_reason = annotation.finish_reason if annotation else None
        if place:
            self.current = max(0, min(annotation.current_step if annotation else 0, self.count - 1))

    def move(self, by: int) -> None:
        """Make a neighbour the current step."""
        self.current = max(0, min(self.current + by, self.count - 1))

    @property
    def _end(self) -> int:
        """Where ratings cease to count: behind the first negative step."""
        negative = self.first_negative
        return self.count if negative is None else negative + 1

    @property
    def _is_complete(self) -> bool:
        return self.first_unrated >= self._end

    def _follow_submitted(self) -> None:
        if self.is_submitted and not self._is_complete:
            self.state = AnnotationState.OPEN
