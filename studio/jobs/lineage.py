"""Where a model comes from, and what comes of an annotation: every run and revision in between, both ways."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from studio.errors import NotFoundError
from studio.jobs.compare import named_runs
from studio.store import models
from studio.store import schema as s
from studio.store.models import StoredModel
from studio.workspace import Workspace

SHOWN = 20  # annotations that a person is told of


@dataclass(frozen=True, slots=True)
class AnnotationUse:
    """An annotation that a run learned from: the revision that it used, and the one that stands now."""

    annotation: str
    annotator: str
    trace: str
    run: str
    used: int
    now: int

    @property
    def changed(self) -> bool:
        """Whether the run learned from an older revision."""
        return self.now > self.used


@dataclass(frozen=True, slots=True)
class RunNode:
    """A run of the lineage. `through`: the models it used, each "role: name"; `made`: the folder of its model.

    `changed`: how many of its own annotations have a newer revision. `stale_from`: uids of the runs, itself or ones it
    builds on, of which an annotation has changed.
    """

    run: str
    name: str
    recipe: str
    state: str
    through: tuple[str, ...]
    made: str
    checksum: str
    annotations: int
    changed: int
    stale_from: tuple[str, ...]

    @property
    def stale(self) -> bool:
        """Whether it, or what it builds on, learned from something that has changed since."""
        return bool(self.stale_from)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a thing was made from and what was made from it. `outside`: models from elsewhere, "role: name checksum"."""

    kind: str  # run or annotation
    name: str
    uid: str
    before: tuple[RunNode, ...]  # the run itself first, then what it builds on; none for an annotation
    annotations: tuple[AnnotationUse, ...]
    outside: tuple[str, ...]
    after: tuple[RunNode, ...]  # what builds on it

    @property
    def stale(self) -> bool:
        """Whether something here learned from what has changed since."""
        return any(node.stale for node in (*self.before, *self.after))


def of_name(c: Connection, name: str) -> Lineage:
    """The lineage of a model (uid, folder or name), a run (uid, its beginning, or name) or an annotation (uid).

    Raises NotFoundError.
    """
    net = _Net(c)
    found = models.find(c, name)
    if found is not None and found.run_id is not None:
        return net.of_run(found.run_id)
    annotation = c.scalar(select(s.annotation.c.id).where(s.annotation.c.uid == name))
    if annotation is not None:
        return net.of_annotation(int(annotation), name)
    try:
        (run,) = named_runs(c, [name])
    except NotFoundError as error:
        raise NotFoundError(f"{name!r} is no model, run or annotation of this workspace: {error}") from None
    return net.of_run(run.id)


class _Net:
    """All runs of a workspace and which builds on which: two queries; the annotations are read when asked for."""

    def __init__(self, c: Connection) -> None:
        self._c = c
        query = select(
            s.run.c.id, s.run.c.uid, s.run.c.name, s.run.c.recipe, s.run.c.state, s.run.c.stale,
            func.json_extract(s.run.c.spec, "$.models").label("models"),
        ).where(s.run.c.state != "preparing")  # fmt: skip
        self._runs: dict[int, Any] = {row.id: row for row in c.execute(query)}
        self._models = models.all_models(c)
        self._used: dict[int, list[dict[str, Any]]] = {
            key: msgspec.json.decode(row.models or "[]") for key, row in self._runs.items()
        }
        self._sizes = self._counts()
        makers: dict[str, list[int]] = {}
        for model in self._models:
            if model.run_id in self._runs:
                makers.setdefault(model.checksum, []).append(model.run_id)
        self._up = {key: self._makers(key, makers) for key in self._runs}
        self._down: dict[int, set[int]] = {key: set() for key in self._runs}
        for key, ups in self._up.items():
            for up in ups:
                self._down[up].add(key)

    def of_run(self, key: int) -> Lineage:
        before, after = _reached(self._up, [key]), _reached(self._down, [key])
        row = self._runs[key]
        return Lineage(
            "run",
            row.name,
            row.uid,
            tuple(map(self._node, before)),
            tuple(self._uses(s.run_source.c.run_id.in_(before))),
            tuple(dict.fromkeys(name for each in before for name in self._outside(each))),
            tuple(self._node(each) for each in after if each != key),
        )

    def of_annotation(self, key: int, uid: str) -> Lineage:
        uses = tuple(self._uses(s.run_source.c.annotation_id == key))
        direct = {use.run for use in uses}
        after = _reached(self._down, [run for run, row in self._runs.items() if row.uid in direct])
        return Lineage("annotation", uid, uid, (), uses, (), tuple(map(self._node, after)))

    def _makers(self, key: int, makers: Mapping[str, list[int]]) -> set[int]:
        """The runs that made the models it used: weights that several made are anybody's of them, but not its own."""
        return {run for used in self._used[key] for run in makers.get(used["checksum"], ())} - {key}

    def _outside(self, key: int) -> Iterator[str]:
        known = {model.checksum for model in self._models if model.run_id is not None}
        for used in self._used[key]:
            if used["checksum"] not in known:
                yield f"{used['role']}: {used.get('name') or used['path']} {used['checksum'][:12]}"

    def _node(self, key: int) -> RunNode:
        row = self._runs[key]
        made: StoredModel | None = next((model for model in self._models if model.run_id == key), None)
        size, changed = self._sizes.get(key, (0, 0))
        return RunNode(
            run=row.uid,
            name=row.name,
            recipe=row.recipe,
            state=row.state,
            through=tuple(_used_model(used) for used in self._used[key]),
            made="" if made is None else made.folder,
            checksum="" if made is None else made.checksum,
            annotations=size,
            changed=changed,
            stale_from=tuple(self._runs[up].uid for up in _reached(self._up, [key]) if self._is_stale(up)),
        )

    def _is_stale(self, key: int) -> bool:
        return bool(self._runs[key].stale) or self._sizes.get(key, (0, 0))[1] > 0

    def _counts(self) -> dict[int, tuple[int, int]]:
        """By run: how many annotations it used, and how many of them have a newer revision."""
        newer = func.sum(s.annotation.c.revision > s.run_source.c.revision)
        query = (
            select(s.run_source.c.run_id, func.count(), newer)
            .join(s.annotation, s.annotation.c.id == s.run_source.c.annotation_id)
            .group_by(s.run_source.c.run_id)
        )
        return {run: (int(count), int(changed or 0)) for run, count, changed in self._c.execute(query)}

    def _uses(self, where: Any) -> Iterator[AnnotationUse]:  # noqa: ANN401 - a SQL condition
        query = (
            select(
                s.annotation.c.uid, s.annotator.c.name, s.trace.c.uid.label("trace"), s.run.c.uid.label("run"),
                s.run_source.c.revision.label("used"), s.annotation.c.revision.label("now"),
            )
            .select_from(s.run_source)
            .join(s.run, s.run.c.id == s.run_source.c.run_id)
            .join(s.annotation, s.annotation.c.id == s.run_source.c.annotation_id)
            .join(s.trace, s.trace.c.id == s.annotation.c.trace_id)
            .outerjoin(s.annotator, s.annotator.c.id == s.annotation.c.annotator_id)
            .where(where, s.run.c.state != "preparing")
            .order_by(s.run.c.id, s.annotation.c.id)
        )  # fmt: skip
        for row in self._c.execute(query):
            yield AnnotationUse(row.uid, row.name or "", row.trace, row.run, row.used, row.now)


def _used_model(used: Mapping[str, Any]) -> str:
    """ "role: name", and from which step on where it took the place of another."""
    since = f" from step {used['from_step']:,} on" if used.get("from_step") else ""
    return f"{used['role']}: {used.get('name') or used['path']}{since}"


def _reached(edges: Mapping[int, Iterable[int]], starts: Iterable[int]) -> list[int]:
    """All that can be reached, the starts first, nearest first."""
    found = dict.fromkeys(starts)
    waiting = list(found)
    for key in waiting:
        for other in sorted(edges.get(key, ())):
            if other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)


def document(found: Lineage) -> dict[str, Any]:
    """A lineage as JSON has it, with what is stale spelled out."""
    made: dict[str, Any] = msgspec.to_builtins(found)
    for name, nodes in (("before", found.before), ("after", found.after)):
        made[name] = [msgspec.to_builtins(node) | {"stale": node.stale} for node in nodes]
    made["annotations"] = [msgspec.to_builtins(use) | {"changed": use.changed} for use in found.annotations]
    return made | {"stale": found.stale}


def sentences(found: Lineage) -> Iterator[str]:
    """A lineage for a person."""
    yield f"{found.kind} {found.name}" + ("" if found.name == found.uid else f" ({found.uid})")
    for node in found.before:
        yield f"  from  {told(node)}"
    for outside in found.outside:
        yield f"  from  {outside}, not made in this workspace"
    changed = sum(use.changed for use in found.annotations)
    yield f"  {len(found.annotations):,} uses of annotations, {changed:,} of a revision that is no longer the newest"
    for use in sorted(found.annotations, key=lambda use: not use.changed)[:SHOWN]:
        since = f", now {use.now}: changed since" if use.changed else ""
        who = use.annotator or "nobody named"
        yield f"    {use.annotation} of {who}, revision {use.used}{since}; run {use.run[:8]}"
    if len(found.annotations) > SHOWN:
        yield f"    and {len(found.annotations) - SHOWN:,} more; --json lists them all"
    for node in found.after:
        yield f"  used by  {told(node)}"
    if not found.after:
        yield "  nothing builds on it"


def told(node: RunNode) -> str:
    """A run of the lineage in a line."""
    text = f"{node.run[:8]} {node.name!r} ({node.recipe}, {node.state})"
    if node.through:
        text += f" with {', '.join(node.through)}"
    if node.made:
        text += f", made {node.made}"
    if node.changed:
        return f"{text}; stale: {node.changed:,} of its {node.annotations:,} annotations changed since"
    if node.stale_from:
        return f"{text}; stale through {', '.join(uid[:8] for uid in node.stale_from)}"
    return text


def verb(args: argparse.Namespace) -> int:
    """`steplens lineage NAME`: as text or one JSON document."""
    with Workspace.open(args.workspace) as workspace, workspace.database.read() as c:
        found = of_name(c, args.name)
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(found))).decode() + "\n")
    else:
        sys.stdout.write("\n".join(sentences(found)) + "\n")
    return 0
