"""One evaluation: the budget it may use, what it has computed, and what it has looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.elm.failures import LimitReached, failure, limit
from gateway.reasoning.elm.moments import DateTime

if TYPE_CHECKING:
    from gateway.reasoning.elm.chart import Chart
    from gateway.reasoning.elm.library import Define, LibrarySet
    from gateway.reasoning.elm.terminology import Terminology

FUEL: Final = 1_000_000
"""Rows, calls and list elements that one evaluation may touch; a real form over 300 resources needs some thousands."""
MAX_DEPTH: Final = 48
"""Function calls inside each other. CQL has no recursion, so this is generous."""
MAX_TEXT: Final = 200_000
"""Characters of one string."""
MAX_LIST: Final = 100_000
"""Elements of one list."""
_PAUSE: Final = 20_000
"""Fuel between two looks at the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one evaluation may use."""

    fuel: int = FUEL
    seconds: float = 1.0
    """Wall clock; only looked at when `clock` is given."""
    clock: Callable[[], float] | None = None
    """Monotonic seconds, e.g. `time.monotonic`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """What one define that was asked for, and all that it uses, may take of the budget."""

    kept: int
    """Fuel that is left for the defines after it."""
    fuel: int
    seconds: float
    begun: float
    """Instant of the clock; 0 without one."""
    deadline: float
    """Of the whole evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a define came to."""

    define: Define
    value: Any = None
    error: ReasoningError | None = None
    entries: tuple[Any, ...] = ()
    """Nodes, searches and uses of other defines, in the order they were met."""


@dataclass(frozen=True, slots=True, eq=False)
class Used:
    """Trace entry: another define was used, and of what it looked at, this mattered."""

    outcome: Outcome
    entries: tuple[Any, ...]

    @property
    def key(self) -> tuple[int, int]:
        """Equal for entries that say the same."""
        return id(self.outcome), id(self.entries)


@dataclass(frozen=True, slots=True)
class Search:
    """Trace entry: the record was asked for resources."""

    type: str
    codes: str
    """What they were filtered by, in words; empty for no filter."""
    found: int


class SourcedList(list[Any]):
    """A list whose elements remember what each rests on, element by element."""

    __slots__ = ("origins",)

    def __init__(self, values: Any, origins: list[tuple[Any, ...]]) -> None:
        super().__init__(values)
        self.origins = origins


def narrowed(entries: list[Any], rows: Iterable[Any]) -> list[Any]:
    """Entries with what was noted for whole lists replaced by what the chosen rows rest on."""
    kept = [Used(one.outcome, ()) if type(one) is Used else one for one in entries if type(one) in (Used, Search)]
    return [*kept, *rows]


def tidied(entries: list[Any]) -> tuple[Any, ...]:
    """Entries without repetitions, in order."""
    return tuple({one.key if type(one) is Used else one: one for one in entries}.values())


@dataclass(slots=True, kw_only=True, eq=False)
class State:
    """All that closures need while they run. One per evaluation, never shared between threads."""

    libraries: LibrarySet
    chart: Chart
    terminology: Terminology
    parameters: Mapping[str, Any]
    """JSON of parameters by name."""
    now: DateTime
    budget: Budget
    offset: int = field(init=False)
    """Minutes east of UTC of the evaluation."""
    fuel: int = field(init=False)
    checkpoint: int = field(init=False)
    deadline: float = field(init=False)
    memo: dict[Define, Used] = field(default_factory=dict)
    active: dict[Define, None] = field(default_factory=dict)
    """Defines being evaluated, outermost first."""
    cache: dict[Any, Any] = field(default_factory=dict)
    """Retrieves, parameters and resolved names of this evaluation."""
    log: list[Any] = field(default_factory=list)
    loan: Loan | None = None
    """Of the define that is being evaluated; None between two of them."""
    depth: int = 0
    messages: list[str] = field(default_factory=list)
    """Texts of Message operators, by code only."""

    def __post_init__(self) -> None:
        self.offset = self.now.offset
        self.fuel = self.budget.fuel
        self.checkpoint = max(self.fuel - _PAUSE, 0)
        clock = self.budget.clock
        self.deadline = clock() + self.budget.seconds if clock else 0.0

    def clock(self) -> float:
        """Instant of the clock; 0 without one."""
        return self.budget.clock() if self.budget.clock else 0.0

    def borrow(self) -> None:
        """Give one define three quarters of what is left, so that endless logic costs itself and not its neighbours."""
        now = self.clock()
        kept, seconds = max(self.fuel, 0) // 4, (self.deadline - now) * 3 / 4
        self.loan = Loan(kept=kept, fuel=self.fuel - kept, seconds=seconds, begun=now, deadline=self.deadline)
        self.fuel -= kept
        self.deadline = now + seconds
        self.checkpoint = max(self.fuel - _PAUSE, 0)

    def repay(self) -> None:
        """Put back what the define did not use."""
        if self.loan is not None:
            self.fuel = max(self.fuel, 0) + self.loan.kept
            self.deadline, self.loan = self.loan.deadline, None
            self.checkpoint = max(self.fuel - _PAUSE, 0)

    def took_most(self, fuel: int, begun: float) -> bool:
        """Whether what was begun with so much fuel, at that instant, used up half of the loan or more."""
        loan = self.loan
        if loan is None or 2 * (fuel - self.fuel) >= loan.fuel:
            return True
        return bool(self.budget.clock) and 2 * (self.clock() - begun) >= loan.seconds

    def spend(self, amount: int) -> None:
        """Use up work. Raises LimitReached when there is none left or the time is over."""
        self.fuel -= amount
        if self.fuel < self.checkpoint:
            self._pause()

    def _pause(self) -> None:
        if self.fuel < 0:
            raise LimitReached("The payer's logic needs more work than it may use.")
        self.checkpoint = max(self.fuel - _PAUSE, 0)
        self.look()

    def look(self) -> None:
        """Look at the clock, e.g. after a step whose work is not counted. Raises LimitReached when time is over."""
        if self.budget.clock and self.budget.clock() > self.deadline:
            self.checkpoint = self.fuel  # the next step looks at the clock again
            raise LimitReached("The payer's logic needs more time than it may use.")

    def enter(self) -> None:
        """Begin a function call. Raises `elm.depth` when calls are nested too deeply."""
        self.spend(1)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise failure("depth", "The payer's logic calls functions too deeply.")


def checked_text(text: str) -> str:
    """The text. Raises `elm.limit` when it is too long."""
    if len(text) > MAX_TEXT:
        raise limit("The payer's logic makes a text that is too long.")
    return text


def checked_list(values: list[Any]) -> list[Any]:
    """The list. Raises `elm.limit` when it is too long."""
    if len(values) > MAX_LIST:
        raise limit("The payer's logic makes a list that is too long.")
    return values
