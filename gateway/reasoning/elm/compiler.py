"""From an ELM node to a closure. Every operator module adds its builders to one table.

A builder takes the compiler and the node and returns a function of the frame. Names are resolved here, once:
an alias becomes a slot of the frame, so that running a row is a few list look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.hoisting import Names, kept
from gateway.reasoning.elm.library import CompiledLibrary, Define, Frame, Run

Builder = Callable[["Compiler", Json], Run]
_BUILDERS: Final[dict[str, Builder]] = {}
_MAX_SLOTS: Final = 2_000


def operator(*names: str) -> Callable[[Builder], Builder]:
    """Enter a builder for node types."""

    def enter(builder: Builder) -> Builder:
        for name in names:
            _BUILDERS[name] = builder
        return builder

    return enter


def known_operators() -> frozenset[str]:
    """Node types that can be run."""
    _load()
    return frozenset(_BUILDERS)


class Compiler:
    """Compiles the body of one define or function."""

    def __init__(self, define: Define) -> None:
        self.define = define
        self.library: CompiledLibrary = define.library
        self._slots: dict[str, int] = {}
        self._operands: dict[str, int] = {}
        self.size = 1
        self.row_slot: int | None = None
        """Slot of the row that a sort expression looks at, also `$this` of a filter."""
        self._names = Names()
        self._repeats = define.operands is not None
        """Whether what is compiled may run more than once per evaluation."""
        self._is_kept = False
        self.total_slot: int | None = None
        self.index_slot: int | None = None

    def new_slot(self) -> int:
        """A slot of the frame that nobody else uses."""
        if self.size > _MAX_SLOTS:
            raise failure("limit", "The library has a define that is too large.")
        self.size += 1
        return self.size - 1

    def add_operand(self, name: str) -> int:
        """Slot of a function's operand."""
        self._operands[name] = self.new_slot()
        return self._operands[name]

    @contextmanager
    def named(self, names: Mapping[str, int]) -> Iterator[None]:
        """Let aliases be known while a part is compiled; inner ones hide outer ones."""
        before = dict(self._slots)
        self._slots.update(names)
        try:
            yield
        finally:
            self._slots = before

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Say that a part is run for each row."""
        before, self._repeats = self._repeats, True
        try:
            yield
        finally:
            self._repeats = before

    @contextmanager
    def row(self, slot: int) -> Iterator[None]:
        """Let `$this` be a slot while a part is compiled."""
        before, self.row_slot = self.row_slot, slot
        try:
            yield
        finally:
            self.row_slot = before

    def slot_of(self, name: str) -> int | None:
        """Slot of an alias, let or operand, or None."""
        found = self._slots.get(name)
        return self._operands.get(name) if found is None else found

    def operand_slot(self, name: str) -> int | None:
        """Slot of an operand, or None."""
        return self._operands.get(name)

    def compile(self, node: Any) -> Run:
        """Closure of an expression. Raises `elm.operator` for a node type that is not known."""
        if not isinstance(node, Mapping):
            raise failure("library", "A part of the library is not an expression.")
        builder = _BUILDERS.get(str(node.get("type")))
        if builder is None:
            raise failure("operator", "The logic uses an operation that is not known here.")
        if self._repeats and not self._is_kept and self._names.is_worth_keeping(node):
            self._is_kept = True
            try:
                return kept(builder(self, node))
            finally:
                self._is_kept = False
        return builder(self, node)

    def names_of(self, node: Any) -> frozenset[str]:
        """Aliases, lets and operands that an expression takes from outside."""
        return self._names.of(node)

    def optional(self, node: Any) -> Run | None:
        """Closure of an expression that may be absent."""
        return None if node is None else self.compile(node)


def compile_define(define: Define) -> None:
    """Fill in `run` and `size` of a define. Raises ReasoningError."""
    _load()
    if define.library.unknown_models:
        raise failure("type", "The library uses a data model that is not known here.")
    compiler = Compiler(define)
    for name, _ in define.operands or ():
        compiler.add_operand(name)
    if define.node.get("external"):
        raise failure("operator", "The library uses an external function.")
    run = compiler.compile(define.node.get("expression"))
    define.size = compiler.size
    define.run = run


def _load() -> None:
    """Enter every operator. The import waits where another thread is at it; a look at the table would not."""
    from gateway.reasoning.elm import operators  # noqa: F401  (its modules enter themselves)


def constant(value: Any) -> Run:
    """Closure of a value that never changes."""

    def run(frame: Frame) -> Any:
        return value

    return run
