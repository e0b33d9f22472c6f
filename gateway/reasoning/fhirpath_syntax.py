"""Text of a FHIRPath expression to a tree of small frozen nodes.

Follows the grammar of FHIRPath N1 (with the long-hand names that R4 uses). A text that is not an
expression as a whole is refused with its position: unlike a recovering parser, nothing is skipped.
Sizes are bounded, because expressions come from payers (spec/security.md T6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath_values import CALENDAR_UNITS, Amount, Moment, read_moment

MAX_CHARACTERS: Final = 10_000
"""Longest expression that is read."""
MAX_NESTING: Final = 80
"""Deepest nesting of parentheses, arguments and operators on the right."""
MAX_IN_A_ROW: Final = 200
"""Operators of one level, or steps of one path, in a row."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; None is the empty collection."""

    value: bool | str | int | Decimal | Moment | Amount | None


@dataclass(frozen=True, slots=True)
class Variable:
    """`%name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """`$this`, `$index` or `$total`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """An element name, or a type name at the start of a path."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its unevaluated arguments."""

    name: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """`left.right`."""

    left: Tree
    right: Member | Call | Special


@dataclass(frozen=True, slots=True)
class Index:
    """`left[position]`."""

    left: Tree
    position: Tree


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before a number or quantity."""

    sign: str
    operand: Tree


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two expressions."""

    operator: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`left is Type` or `left as Type`."""

    operator: str
    left: Tree
    type_name: str


Tree = Literal | Variable | Special | Member | Call | Step | Index | Unary | Binary | TypeTest

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<moment>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?
      |@\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:\\.|[^'\\])*')
  | (?P<quoted>`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\])*")
  | (?P<special>\$[a-z]+)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<operator><=|>=|!=|!~|[=~<>|+\-*/&.,()\[\]{}%])
    """,
    re.VERBOSE | re.DOTALL,
)
_LEVELS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"implies"}),
    frozenset({"or", "xor"}),
    frozenset({"and"}),
    frozenset({"in", "contains"}),
    frozenset({"=", "~", "!=", "!~"}),
    frozenset({"<", ">", "<=", ">="}),
    frozenset({"|"}),
    frozenset({"is", "as"}),
    frozenset({"+", "-", "&"}),
    frozenset({"*", "/", "div", "mod"}),
)
_LEVEL_OF: Final = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


@lru_cache(maxsize=2048)
def parse_expression(text: str) -> Tree:
    """Tree of `text`. Raises ReasoningError `fhirpath.syntax` or `fhirpath.limit`; the text is not repeated."""
    if len(text) > MAX_CHARACTERS:
        raise ReasoningError(f"The expression is longer than {MAX_CHARACTERS} characters.", code="fhirpath.limit")
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> tuple[tuple[str, str, int], ...]:
    found: list[tuple[str, str, int]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _syntax(position)
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group(), position))
        position = match.end()
    found.append(("end", "", position))
    return tuple(found)


def _syntax(position: int) -> ReasoningError:
    return ReasoningError(
        f"The expression cannot be read at character {position + 1}.",
        code="fhirpath.syntax",
        frame={"locator": str(position + 1)},
    )


def _unescape(quoted: str) -> str:
    def replace(match: re.Match[str]) -> str:
        mark = match.group(1)
        return chr(int(mark[1:], 16)) if len(mark) == 5 else _ESCAPES.get(mark, mark)

    return _ESCAPE.sub(replace, quoted[1:-1])


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, tokens: tuple[tuple[str, str, int], ...]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._expression(0)
        if self._kind != "end":
            raise _syntax(self._tokens[self._at][2])
        return tree

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _take(self) -> str:
        text = self._text
        self._at += 1
        return text

    def _accept(self, text: str) -> bool:
        if self._kind == "operator" and self._text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _syntax(self._tokens[self._at][2])

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ReasoningError("The expression is nested too deeply.", code="fhirpath.limit")

    def _expression(self, floor: int) -> Tree:
        """An operand and the operators after it that bind at least as tightly as `floor`."""
        self._deeper()
        left = self._signed()
        count = 0
        while (level := self._level()) >= floor:
            count += 1
            if count > MAX_IN_A_ROW:
                raise ReasoningError("The expression has too many operators in a row.", code="fhirpath.limit")
            operator = self._take()
            if operator in ("is", "as"):
                left = TypeTest(operator, left, self._type_name())
            else:
                left = Binary(operator, left, self._expression(level + 1))
        self._depth -= 1
        return left

    def _level(self) -> int:
        """How tightly the operator at hand binds; -1 when there is none."""
        return _LEVEL_OF.get(self._text, -1) if self._kind in ("operator", "name") else -1

    def _signed(self) -> Tree:
        if self._kind == "operator" and self._text in "+-":
            self._deeper()
            tree = Unary(self._take(), self._signed())
            self._depth -= 1
            return tree
        return self._path()

    def _path(self) -> Tree:
        tree = self._term()
        count = 0
        while True:
            count += 1
            if count > MAX_IN_A_ROW:
                raise ReasoningError("The path has too many steps.", code="fhirpath.limit")
            if self._accept("."):
                tree = Step(tree, self._invocation())
            elif self._accept("["):
                tree = Index(tree, self._expression(0))
                self._expect("]")
            else:
                return tree

    def _term(self) -> Tree:
        kind = self._kind
        if kind == "number":
            return Literal(self._number())
        if kind == "string":
            return Literal(_unescape(self._take()))
        if kind == "moment":
            return Literal(self._moment())
        if kind == "name" and self._text in ("true", "false"):
            return Literal(self._take() == "true")
        if self._accept("("):
            tree = self._expression(0)
            self._expect(")")
            return tree
        if self._accept("{"):
            self._expect("}")
            return Literal(None)
        if self._accept("%"):
            return Variable(self._variable_name())
        return self._invocation()

    def _number(self) -> int | Decimal | Amount:
        text = self._take()
        value: int | Decimal = Decimal(text) if "." in text else int(text)
        if self._kind == "string":
            return Amount(Decimal(text), _unescape(self._take()))
        if self._kind == "name" and self._text in CALENDAR_UNITS:
            return Amount(Decimal(text), CALENDAR_UNITS[self._take()], calendar=True)
        return value

    def _moment(self) -> Moment:
        position = self._tokens[self._at][2]
        moment = read_moment(self._take()[1:])
        if moment is None:
            raise _syntax(position)
        return moment

    def _variable_name(self) -> str:
        if self._kind in ("quoted", "string"):
            return _unescape(self._take())
        if self._kind == "name":
            return self._take()
        raise _syntax(self._tokens[self._at][2])

    def _invocation(self) -> Member | Call | Special:
        if self._kind == "special":
            return Special(self._take())
        if self._kind == "quoted":
            return Member(_unescape(self._take()))
        if self._kind != "name":
            raise _syntax(self._tokens[self._at][2])
        name = self._take()
        return Call(name, self._arguments()) if self._accept("(") else Member(name)

    def _arguments(self) -> tuple[Tree, ...]:
        if self._accept(")"):
            return ()
        found = [self._expression(0)]
        while self._accept(","):
            found.append(self._expression(0))
        self._expect(")")
        return tuple(found)

    def _type_name(self) -> str:
        parts = [self._name_part()]
        while self._accept("."):
            parts.append(self._name_part())
        return ".".join(parts)

    def _name_part(self) -> str:
        if self._kind == "name":
            return self._take()
        if self._kind == "quoted":
            return _unescape(self._take())
        raise _syntax(self._tokens[self._at][2])
