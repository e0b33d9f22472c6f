"""Regular expressions that come from outside, run in bounded time.

Python's own engine backtracks, so a hostile pattern can take for ever (spec/security.md T33). Here a pattern
is compiled to a small program and searched with every (instruction, position) tried at most once: work grows
with pattern times text, and a budget ends it. Results are those of Python's engine; back references and
look-around, which need more, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from gateway.errors import ReasoningError

MAX_PATTERN: Final = 500
"""Longest pattern accepted, in characters."""
MAX_TEXT: Final = 20_000
"""Longest text that a foreign pattern is run on."""
MAX_PROGRAM: Final = 3_000
"""Instructions of a compiled pattern; counted repeats are written out."""
MAX_WORK: Final = 1_000_000
"""(instruction, position) pairs tried in one search: below a second."""
MAX_RESULT: Final = 200_000
"""Characters that a substitution may put in."""
_UNENDING: Final = codes.MAXREPEAT
Test = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: `kind` is `one`, `split`, `jump`, `save`, `at` or `done`."""

    kind: str
    test: Test | None = None
    first: int = 0
    second: int = 0
    place: str = ""


@dataclass(slots=True)
class _Program:
    steps: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> int:
        if len(self.steps) >= MAX_PROGRAM:
            raise ReasoningError("The pattern is too large to be run.", code="pattern.limit")
        self.steps.append(step)
        return len(self.steps) - 1


class SafePattern:
    """A compiled pattern. Methods raise ReasoningError `pattern.limit` for too long a text or too much work.

    `work` holds, as its only element, how many pairs may be tried; what was not needed is left in it.
    """

    def __init__(self, program: list[Step], groups: int) -> None:
        self._program = program
        self._groups = groups

    def search(self, text: str, work: list[int] | None = None) -> bool:
        """Whether the pattern is found anywhere."""
        return next(self._matches(text, work, whole=False), None) is not None

    def fullmatch(self, text: str, work: list[int] | None = None) -> bool:
        """Whether the whole text is of the pattern."""
        return next(self._matches(text, work, whole=True), None) is not None

    def substitute(self, text: str, template: str, work: list[int] | None = None) -> str:
        """Text with every match replaced; in the template `$0` to `$9` stand for the match and its groups."""
        done, end, size = [], 0, 0
        for groups in self._matches(text, work, whole=False):
            size += _size(template, groups)
            if size > MAX_RESULT:
                raise ReasoningError("The pattern makes a text that is too long.", code="pattern.limit")
            done += [text[end : groups[0][0]], _filled(template, text, groups)]
            end = groups[0][1]
        return "".join([*done, text[end:]])

    def _matches(self, text: str, work: list[int] | None, *, whole: bool) -> Iterator[list[tuple[int, int]]]:
        """Groups of each match, leftmost first, not overlapping."""
        if len(text) > MAX_TEXT:
            raise ReasoningError("The text is too long for a pattern.", code="pattern.limit")
        start, work = 0, [MAX_WORK] if work is None else work
        seen: set[int] = set()
        while start <= len(text):
            found = self._run(text, start, whole, seen, work)
            if found is not None:
                yield found
                seen = set()
                start = found[0][1] + (found[0][0] == found[0][1])
            elif whole:
                return
            else:
                start += 1

    def _run(self, text: str, start: int, whole: bool, seen: set[int], work: list[int]) -> list[tuple[int, int]] | None:
        """First match that begins at `start`. What failed from a pair before fails again, so `seen` is kept."""
        width = len(text) + 1
        waiting: list[tuple[int, int, tuple[Any, ...] | None]] = [(0, start, None)]
        while waiting:
            at, position, saved = waiting.pop()
            key = at * width + position
            if key in seen:
                continue
            seen.add(key)
            work[0] -= 1
            if work[0] < 0:
                raise ReasoningError("The pattern needs too much work on this text.", code="pattern.limit")
            step = self._program[at]
            if step.kind == "one":
                if position < len(text) and step.test is not None and step.test(text[position]):
                    waiting.append((at + 1, position + 1, saved))
            elif step.kind == "split":
                waiting.append((step.second, position, saved))
                waiting.append((step.first, position, saved))
            elif step.kind == "jump":
                waiting.append((step.first, position, saved))
            elif step.kind == "save":
                waiting.append((at + 1, position, (step.first, position, saved)))
            elif step.kind == "at":
                if _PLACES[step.place](text, position):
                    waiting.append((at + 1, position, saved))
            elif not whole or position == len(text):
                return _groups(self._groups, start, position, saved)
        return None


def _groups(count: int, start: int, end: int, saved: tuple[Any, ...] | None) -> list[tuple[int, int]]:
    places: dict[int, int] = {}
    while saved is not None:
        places.setdefault(saved[0], saved[1])
        saved = saved[2]
    pairs = [(places.get(2 * index, -1), places.get(2 * index + 1, -1)) for index in range(1, count + 1)]
    return [(start, end), *pairs]


def _size(template: str, groups: list[tuple[int, int]]) -> int:
    """Characters of a filled template, at most."""
    longest = max(end - start for start, end in groups)
    return len(template) + template.count("$") * longest


def _filled(template: str, text: str, groups: list[tuple[int, int]]) -> str:
    def group(match: re.Match[str]) -> str:
        index = int(match.group(1))
        if index >= len(groups) or groups[index][0] < 0 or groups[index][1] < 0:
            return ""
        return text[groups[index][0] : groups[index][1]]

    return re.sub(r"\$(\d)", group, template)


@lru_cache(maxsize=512)
def safe_pattern(pattern: str, *, dot_all: bool = False) -> SafePattern:
    """Compiled pattern. Raises ReasoningError `pattern.syntax`, `pattern.unsupported` or `pattern.limit`."""
    if len(pattern) > MAX_PATTERN:
        raise ReasoningError("The pattern is too long to be run.", code="pattern.limit")
    try:
        parsed = _parser.parse(pattern, re.DOTALL if dot_all else 0)
    except (re.error, OverflowError, RecursionError):
        raise ReasoningError("The pattern cannot be read.", code="pattern.syntax") from None
    program = _Program()
    flags = parsed.state.flags
    _compile(parsed, program, flags)
    program.add(Step("done"))
    return SafePattern(program.steps, parsed.state.groups - 1)


def _compile(parsed: Iterable[tuple[Any, Any]], program: _Program, flags: int) -> None:
    for code, argument in parsed:
        if code is codes.AT:
            place = _PLACE_NAMES.get(argument)
            if place is None:
                raise _unsupported()
            program.add(Step("at", place=f"multi-{place}" if flags & re.MULTILINE and place in _LINED else place))
        elif code is codes.BRANCH:
            _compile_branch(argument[1], program, flags)
        elif code is codes.SUBPATTERN:
            _compile_group(argument, program, flags)
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _compile_repeat(argument, program, flags, greedy=code is codes.MAX_REPEAT)
        else:
            program.add(Step("one", test=_test(code, argument, flags)))


def _unsupported() -> ReasoningError:
    return ReasoningError("The pattern uses something that is not run here.", code="pattern.unsupported")


def _compile_branch(branches: Iterable[Any], program: _Program, flags: int) -> None:
    parts = list(branches)
    ends = []
    for part in parts[:-1]:
        split = program.add(Step("split"))
        _compile(part, program, flags)
        ends.append(program.add(Step("jump")))
        program.steps[split] = Step("split", first=split + 1, second=len(program.steps))
    _compile(parts[-1], program, flags)
    for end in ends:
        program.steps[end] = Step("jump", first=len(program.steps))


def _compile_group(argument: Any, program: _Program, flags: int) -> None:
    group, added, removed, part = argument
    flags = (flags | added) & ~removed
    if group is not None:
        program.add(Step("save", first=2 * group))
    _compile(part, program, flags)
    if group is not None:
        program.add(Step("save", first=2 * group + 1))


def _compile_repeat(argument: Any, program: _Program, flags: int, *, greedy: bool) -> None:
    low, high, part = argument
    for _ in range(low):
        _compile(part, program, flags)
    if high is _UNENDING:
        split = program.add(Step("split"))
        _compile(part, program, flags)
        program.add(Step("jump", first=split))
        program.steps[split] = _split(split + 1, len(program.steps), greedy=greedy)
        return
    splits = []
    for _ in range(high - low):
        splits.append(program.add(Step("split")))
        _compile(part, program, flags)
    for split in splits:
        program.steps[split] = _split(split + 1, len(program.steps), greedy=greedy)


def _split(inside: int, after: int, *, greedy: bool) -> Step:
    return Step("split", first=inside, second=after) if greedy else Step("split", first=after, second=inside)


def _test(code: Any, argument: Any, flags: int) -> Test:
    if code is codes.LITERAL:
        return _literal(chr(argument), flags)
    if code is codes.NOT_LITERAL:
        same = _literal(chr(argument), flags)
        return lambda character: not same(character)
    if code is codes.ANY:
        return (lambda character: True) if flags & re.DOTALL else (lambda character: character != "\n")
    if code is codes.IN:
        return _class(argument, flags)
    raise _unsupported()


def _literal(wanted: str, flags: int) -> Test:
    if flags & re.IGNORECASE:
        return lambda character: character.lower() == wanted.lower()
    return lambda character: character == wanted


def _class(parts: list[tuple[Any, Any]], flags: int) -> Test:
    negated = bool(parts) and parts[0][0] is codes.NEGATE
    tests = [_class_part(code, argument, flags) for code, argument in parts if code is not codes.NEGATE]
    return lambda character: any(test(character) for test in tests) is not negated


def _class_part(code: Any, argument: Any, flags: int) -> Test:
    if code is codes.LITERAL:
        return _literal(chr(argument), flags)
    if code is codes.RANGE:
        low, high = chr(argument[0]), chr(argument[1])
        if flags & re.IGNORECASE:
            return lambda one: low <= one.lower() <= high or low <= one.upper() <= high
        return lambda one: low <= one <= high
    test = _CATEGORIES.get(argument) if code is codes.CATEGORY else None
    if test is None:
        raise _unsupported()
    return test


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_CATEGORIES: Final[dict[Any, Test]] = {
    codes.CATEGORY_DIGIT: str.isdecimal,
    codes.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    codes.CATEGORY_SPACE: str.isspace,
    codes.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    codes.CATEGORY_WORD: _is_word,
    codes.CATEGORY_NOT_WORD: lambda one: not _is_word(one),
}


def _at_boundary(text: str, position: int) -> bool:
    before = position > 0 and _is_word(text[position - 1])
    after = position < len(text) and _is_word(text[position])
    return before is not after


def _at_end(text: str, position: int) -> bool:
    return position == len(text) or (position == len(text) - 1 and text[position] == "\n")


_PLACE_NAMES: Final = {
    codes.AT_BEGINNING: "start",
    codes.AT_BEGINNING_STRING: "text-start",
    codes.AT_END: "end",
    codes.AT_END_STRING: "text-end",
    codes.AT_BOUNDARY: "boundary",
    codes.AT_NON_BOUNDARY: "inside",
}
_LINED: Final = frozenset({"start", "end"})
_PLACES: Final[dict[str, Callable[[str, int], bool]]] = {
    "start": lambda text, position: position == 0,
    "text-start": lambda text, position: position == 0,
    "end": _at_end,
    "text-end": lambda text, position: position == len(text),
    "multi-start": lambda text, position: position == 0 or text[position - 1] == "\n",
    "multi-end": lambda text, position: position == len(text) or text[position] == "\n",
    "boundary": _at_boundary,
    "inside": lambda text, position: not _at_boundary(text, position),
}
