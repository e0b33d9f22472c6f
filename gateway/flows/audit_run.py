"""Charts audited by worker processes, rows given back in the order of the charts.

A chart never ends the audit of the others: what it does to a worker becomes its own row.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from gateway.errors import GatewayError, InputError
from gateway.fhir.json import parse_object
from gateway.flows.audit_bulk import Shared, read_export, read_patient
from gateway.flows.audit_chart import ChartContent, Unit, audit_chart, failed
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, refused
from gateway.flows.audit_sources import (
    BundleSource,
    FileSource,
    NotAChart,
    Source,
    bundle_parts,
    find_sources,
    read_chart_file,
    read_piece,
)

MAX_WORKERS: Final = 2
"""Worker processes where the machine has as many cores; one fewer core, one fewer worker."""
BATCH: Final = 20
"""Charts handed to a worker at a time."""
FEW: Final = 40
"""So many charts are audited in this process: starting workers would take longer."""
AHEAD: Final = 4
"""Batches for each worker that wait for their turn; keeps the memory bounded."""
_CRASHED = "The chart ended the process that audited it; it is too large or damaged. The other charts are not affected."


@dataclass(kw_only=True)
class Audit:
    """An audit that is being made. Iterate over `rows()` once; the counts are complete afterwards."""

    plan: AuditPlan
    """What is asked."""
    sources: list[Source] = field(default_factory=list)
    """Charts to read."""
    shared: dict[str, Shared] = field(default_factory=dict)
    """Folder of an export → what in it belongs to no patient."""
    refused: list[ChartRow] = field(default_factory=list)
    """Rows known before any chart is read."""
    skipped: list[str] = field(default_factory=list)
    """Files of folders that are no FHIR at all."""
    others: int = 0
    """Patients of exports without an order that a rule is about."""
    workers: int = 0
    """Worker processes; 0 = as many as the machine allows."""

    @property
    def total(self) -> int:
        """How many charts are read."""
        return len(self.sources)

    def rows(self) -> Iterator[ChartRow]:
        """Every row; the order is that of the charts, whatever the number of workers."""
        yield from self.refused
        workers = self.workers or min(MAX_WORKERS, os.cpu_count() or 1)
        if len(self.sources) <= FEW or workers == 1:
            found: Iterable[Outcome] = (audit_source(item, self.plan, self.shared) for item in self.sources)
        else:
            found = _by_workers(self.sources, self.plan, self.shared, workers)
        for outcome in found:
            self.skipped.extend(outcome.skipped)
            yield from outcome.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one source."""

    rows: tuple[ChartRow, ...] = ()
    skipped: tuple[str, ...] = ()


def open_audit(paths: Sequence[Path], plan: AuditPlan, *, workers: int = 0) -> Audit:
    """The audit of files, folders and exports. Exports are looked through here; charts are read later.

    Raises InputError for a path that is not there.
    """
    found = find_sources(paths)
    audit = Audit(plan=plan, sources=list(found.charts), workers=workers)
    for folder, files in found.exports:
        export = read_export(folder, files, plan)
        audit.sources.extend(export.sources())
        audit.shared[folder] = export.shared
        audit.refused.extend(export.rows)
        audit.others += export.others
    if not audit.sources and not audit.refused:
        message = "There is no chart: name Bundles (.json, .xml), folders of them, or a bulk export (.ndjson)."
        raise InputError(message, code="usage.path")
    return audit


def audit_source(source: Source, plan: AuditPlan, shared: Mapping[str, Shared]) -> Outcome:
    """Read and audit one source. Nothing is raised."""
    try:
        return Outcome(rows=tuple(audit_chart(_content(source, shared), plan)))
    except NotAChart:
        return Outcome(skipped=(source.path,))
    except InputError as error:
        return Outcome(rows=(refused(source.name, source.path, error.reason, error.diagnostics()),))
    except MemoryError:
        return Outcome(rows=(refused(source.name, source.path, "chart.size", _CRASHED),))
    except Exception as error:  # Defensive: one chart must not end the audit of the others
        problem = failed(error)
        return Outcome(rows=(ChartRow(chart=source.name, path=source.path, problems=(problem,)),))


def _content(source: Source, shared: Mapping[str, Shared]) -> ChartContent:
    urls: list[str | None] = []
    unit: Unit = "chart"
    if isinstance(source, FileSource):
        resources, urls = read_chart_file(source)
    elif isinstance(source, BundleSource):
        resources, urls = bundle_parts(parse_object(read_piece(source.piece)))
    else:
        resources, unit = read_patient(source, shared.get(source.path, {})), "patient"
    return ChartContent(name=source.name, path=source.path, resources=resources, full_urls=urls, unit=unit)


_settled: dict[str, Any] = {}
"""What a worker process was started with."""


def _start(plan: AuditPlan, shared: Mapping[str, Shared]) -> None:
    _settled.update(plan=plan, shared=shared)


def _batch(sources: Sequence[Source]) -> list[Outcome]:
    return [audit_source(source, _settled["plan"], _settled["shared"]) for source in sources]


class _Workers:
    """A pool that is made anew when a chart has ended one of its processes."""

    def __init__(self, plan: AuditPlan, shared: Mapping[str, Shared], count: int) -> None:
        self._made = (plan, shared)
        self._count = count
        self._pool = self._open(count)
        self._lonely: ProcessPoolExecutor | None = None

    def _open(self, count: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=self._made)

    def submit(self, batch: Sequence[Source]) -> Future[list[Outcome]]:
        """Hand over a batch; a pool that broke meanwhile is replaced."""
        try:
            return self._pool.submit(_batch, batch)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._open(self._count)
            return self._pool.submit(_batch, batch)

    def results(self, batch: Sequence[Source], waiting: Future[list[Outcome]]) -> list[Outcome]:
        """The outcomes of a batch; where its process died, its charts are tried again one by one."""
        try:
            return waiting.result()
        except BrokenProcessPool:
            return self._one_by_one(batch)

    def _one_by_one(self, batch: Sequence[Source]) -> list[Outcome]:
        found = []
        for source in batch:
            self._lonely = self._lonely or self._open_working()
            try:
                found += self._lonely.submit(_batch, [source]).result()
            except BrokenProcessPool:
                found.append(Outcome(rows=(refused(source.name, source.path, "chart.crashed", _CRASHED),)))
                self._lonely.shutdown()
                self._lonely = None
        return found

    def _open_working(self) -> ProcessPoolExecutor:
        """A pool of one process that is known to work, so that not every chart is blamed for a machine's fault."""
        pool = self._open(1)
        try:
            pool.submit(_batch, []).result()
        except BrokenProcessPool:
            pool.shutdown()
            message = "Worker processes cannot be started on this machine; audit with --workers 1."
            raise GatewayError(message, code="audit.workers") from None
        return pool

    def close(self) -> None:
        """End the processes; what was not begun is dropped."""
        for pool in filter(None, (self._pool, self._lonely)):
            pool.shutdown(wait=True, cancel_futures=True)


def _by_workers(
    sources: Sequence[Source], plan: AuditPlan, shared: Mapping[str, Shared], count: int
) -> Iterator[Outcome]:
    workers = _Workers(plan, shared, count)
    batches = _batches(sources)
    waiting: deque[tuple[Sequence[Source], Future[list[Outcome]]]] = deque()
    try:
        for batch in islice(batches, count * AHEAD):
            waiting.append((batch, workers.submit(batch)))
        while waiting:
            batch, future = waiting.popleft()
            yield from workers.results(batch, future)
            for following in islice(batches, 1):
                waiting.append((following, workers.submit(following)))
    finally:
        workers.close()


def _batches(sources: Sequence[Source]) -> Iterator[Sequence[Source]]:
    for start in range(0, len(sources), BATCH):
        yield sources[start : start + BATCH]
