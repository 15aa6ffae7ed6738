"""What an import or an export did, as values that travel as JSON and as sentences."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

LISTED_ERRORS = 1000


class RowError(msgspec.Struct, frozen=True):
    """A row that was not imported: where it stands, what is wrong, what to do."""

    file: str
    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.remedy}"


class ImportReport(msgspec.Struct):
    """Counts of one import; `errors` lists the first 1,000 of `broken` rows."""

    project: str
    dry_run: bool = False
    files: list[str] = []
    rows: int = 0
    imported: int = 0
    known: int = 0
    broken: int = 0
    problems: int = 0
    traces: int = 0
    steps: int = 0
    cut: dict[str, int] = {}  # traces of foreign files, by how their steps came about
    ratings: dict[str, int] = {}
    finish_reasons: dict[str, int] = {}
    traps: dict[str, int] = {}
    errors: list[RowError] = []
    seconds: float = 0.0

    def refuse(self, error: RowError) -> None:
        """Count a broken row."""
        self.broken += 1
        if len(self.errors) < LISTED_ERRORS:
            self.errors.append(error)

    def sentences(self) -> Iterator[str]:
        """The report for a person, a line each."""
        would = "would be " if self.dry_run else ""
        into = f" into {self.project!r}" if self.project else ""
        yield f"{self.rows:,} rows: {self.imported:,} {would}imported{into} in {self.seconds:.1f} s"
        if self.known:
            yield f"  {self.known:,} rows are known already and were left as they are" + (
                "; nothing was added" if not self.imported else ""
            )
        yield f"  new: {self.problems:,} problems, {self.traces:,} traces" + (
            f", {self.steps:,} steps" if self.steps else ""
        )
        for title, counts in (
            ("steps of traces", self.cut),
            ("ratings", self.ratings),
            ("finish reasons", self.finish_reasons),
            ("met on the way", self.traps),
        ):
            if counts:
                yield f"  {title}: " + ", ".join(f"{name} {number:,}" for name, number in counts.items())
        if self.broken:
            yield f"  {self.broken:,} broken rows were left out:"
            yield from (f"    {error}" for error in self.errors)
            if self.broken > len(self.errors):
                yield f"    and {self.broken - len(self.errors):,} more"


class ExportReport(msgspec.Struct, frozen=True):
    """What an export wrote."""

    path: str
    rows: int
    bytes: int
    seconds: float
    unsubmitted_left_out: int = 0

    def sentences(self) -> Iterator[str]:
        """The report for a person, a line each."""
        yield f"{self.rows:,} annotations, {self.bytes:,} bytes written to {self.path} in {self.seconds:.1f} s"
        if self.unsubmitted_left_out:
            yield f"  {self.unsubmitted_left_out:,} annotations are not submitted yet and were left out"


class OriginalReport(msgspec.Struct, frozen=True):
    """What giving an imported file back wrote; `why`: what keeps it from being the same bytes."""

    path: str
    bytes: int
    seconds: float
    same_bytes: bool
    why: str = ""

    def sentences(self) -> Iterator[str]:
        """The report for a person, a line each."""
        how = "the same bytes" if self.same_bytes else "the same values, rebuilt from the tables"
        yield f"{self.bytes:,} bytes written to {self.path} in {self.seconds:.1f} s: {how}"
        if self.why:
            yield f"  {self.why}, so its bytes cannot be given back"


def more(counts: dict[str, int], name: str, number: int = 1) -> None:
    """Add to a count by name."""
    if number:
        counts[name] = counts.get(name, 0) + number
