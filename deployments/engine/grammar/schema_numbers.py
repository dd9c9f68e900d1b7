"""Numbers in a JSON schema: makes constants, bounds and ``multipleOf`` exact for llguidance.

llguidance reads every number as a double, with an error of up to one unit in the last place, and
writes constants from doubles. So a constant such as 0.1 is taken only if llguidance writes the same
number, and is refused otherwise. A bound is moved inside the range to a number that is a double:
``{"minimum": 9007199254740993}`` becomes 9007199254740994.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TypeAlias

SchemaNumber: TypeAlias = int | Decimal

INT64_MAX = 2**63 - 1
INT64_MIN_KEPT = -(2**63) + 1024
"""The smallest double above the minimum of int64, which llguidance cannot negate."""

MAX_EXPONENT = 400
"""The largest exponent of ten that is computed with; those of doubles end near 308 and -324."""

TINY = Decimal(f"1e-{MAX_EXPONENT}")

MAX_BOUND = Decimal(10**18)
"""llguidance computes ranges with 64-bit integers."""

MAX_OPEN_BOUND = Decimal(10**17)
"""A range from here on must be given its other bound as well."""

DIGITS = 15
"""Significant digits of a decimal number that every double preserves."""

SMALLEST_STEP = Decimal("1e-20")
MAX_MULTIPLE = 2**32 - 1


class UnsupportedSchema(ValueError):
    """A schema that llguidance cannot follow exactly; the message is for the client."""


def decimal(literal: str) -> Decimal:
    """The exact value of a JSON number. Beyond the range of doubles it is infinite, or ``TINY``.

    Arithmetic with ``1e1000000`` would take seconds.
    """
    try:
        value = Decimal(literal)
        exponent = value.adjusted() if value else 0
    except ArithmeticError:
        value = Decimal(-1 if literal.startswith("-") else 1)
        exponent = -(MAX_EXPONENT + 1) if "e-" in literal.lower() else MAX_EXPONENT + 1
    if exponent > MAX_EXPONENT:
        return Decimal("Infinity").copy_sign(value)
    return TINY.copy_sign(value) if exponent < -MAX_EXPONENT else value


def constant(number: SchemaNumber) -> int | float:
    """``number`` for ``const`` or ``enum``. Raises if llguidance would write another number."""
    exact = _exact(number)
    if exact is None:
        raise UnsupportedSchema(
            f"the number {_shown(number)} cannot be written exactly; those of {DIGITS} digits can"
        )
    return exact


def multiple(number: SchemaNumber) -> int | float:
    """``number`` for ``multipleOf``. Raises if llguidance would compute with another number."""
    given = Decimal(number)
    if not (given > 0 and given.is_finite()):
        raise UnsupportedSchema(f"multipleOf must be a number above 0, not {_shown(number)}")
    exact = _exact(number)
    if exact is not None:
        value, exponent = float(exact), 0
        while value != int(value) and exponent < DIGITS:  # as llguidance finds the digits
            value *= 10
            exponent += 1
        if value <= MAX_MULTIPLE and Decimal(value).scaleb(-exponent) == given:
            return exact
    raise UnsupportedSchema(f"multipleOf cannot be {_shown(number)}: it has too many digits")


@dataclass(frozen=True, slots=True)
class NumberRange:
    """The numbers between two bounds, each of which may be absent or exclusive."""

    low: Decimal | None
    high: Decimal | None
    low_exclusive: bool = False
    high_exclusive: bool = False

    def of_integers(self) -> dict[str, int | float]:
        """Keywords for the integers in the range that 64 bits hold."""
        low, high = self.low, self.high
        if low is not None:
            low = _whole(
                low, ROUND_CEILING, int(self.low_exclusive and low == low.to_integral_value())
            )
        if high is not None:
            step = int(self.high_exclusive and high == high.to_integral_value())
            high = _whole(high, ROUND_FLOOR, -step)
        self._check(low, high)
        first, last = _next_double(low), _last_double(high)
        if first is not None and last is None and first >= MAX_OPEN_BOUND:
            last = INT64_MAX
        if last is not None and first is None and last <= -MAX_OPEN_BOUND:
            first = INT64_MIN_KEPT
        limits = {"minimum": first, "maximum": last}
        if first is not None and last is not None and first > last:
            raise UnsupportedSchema(f"no integer that a double holds lies in it: {self._span()}")
        return {key: value for key, value in limits.items() if value is not None}

    def of_numbers(self) -> dict[str, int | float]:
        """Keywords for the numbers in the range, of up to 15 digits and up to 1e18."""
        self._check(self.low, self.high)
        # llguidance would allow the bound itself if it is an integer: move it by one digit.
        if self.low is not None and self.low_exclusive and _integral(self.low):
            return replace(self, low=self.low + _step(self.low), low_exclusive=False).of_numbers()
        if self.high is not None and self.high_exclusive and _integral(self.high):
            return replace(
                self, high=self.high - _step(self.high), high_exclusive=False
            ).of_numbers()
        low = None if self.low is None else _inside(max(self.low, -MAX_BOUND), ROUND_CEILING)
        high = None if self.high is None else _inside(min(self.high, MAX_BOUND), ROUND_FLOOR)
        if low is not None and high is None and low >= MAX_OPEN_BOUND:
            high = MAX_BOUND
        if high is not None and low is None and high <= -MAX_OPEN_BOUND:
            low = -MAX_BOUND
        if low is not None and high is not None:
            empty = low > high or (low == high and (self.low_exclusive or self.high_exclusive))
            if empty:
                raise UnsupportedSchema(f"no number of {DIGITS} digits lies in it: {self._span()}")
        keywords: dict[str, int | float] = {}
        if low is not None:
            keywords["exclusiveMinimum" if self.low_exclusive else "minimum"] = _plain(low)
        if high is not None:
            keywords["exclusiveMaximum" if self.high_exclusive else "maximum"] = _plain(high)
        return keywords

    def _span(self) -> str:
        ends = ("..." if end is None else _shown(end) for end in (self.low, self.high))
        return "from {} to {}".format(*ends)

    def _check(self, low: Decimal | None, high: Decimal | None) -> None:
        if low is not None and high is not None and low > high:
            raise UnsupportedSchema(f"Unsatisfiable: no number lies in it: {self._span()}")
        for bound in (low, high):
            if bound is not None and not bound.is_finite():
                raise UnsupportedSchema("a bound has an exponent that no number has")


def _integral(bound: Decimal) -> bool:
    return bound.is_finite() and bound == bound.to_integral_value()


def _step(bound: Decimal) -> Decimal:
    """One in the last of the 15 digits of ``bound``."""
    return Decimal(1).scaleb(bound.adjusted() - DIGITS + 1) if bound else SMALLEST_STEP


def _exact(number: SchemaNumber) -> int | float | None:
    """The value that llguidance reads and writes again as ``number``; ``None`` if there is none."""
    given = Decimal(number)
    if not given.is_finite() or given.adjusted() > 308:
        return None
    if given == given.to_integral_value():
        whole = int(given)
        if whole == INT64_MAX or (abs(whole) <= INT64_MAX and int(float(whole)) == whole):
            return whole
    double = float(given)
    is_exact = Decimal(repr(double)) == given and _read(repr(double)) == double
    if isinstance(number, Decimal) and double.is_integer():
        is_exact = (
            is_exact and Decimal(double) == given
        )  # llguidance reads its digits as an integer, not as 1e25
    return double if is_exact else None


def _read(literal: str) -> float:
    """A number as Rust's serde_json reads it: digits times a power of ten, each rounded."""
    mantissa, _, power = literal.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    value, exponent = float(int(whole + fraction)), int(power or 0) - len(fraction)
    while exponent < -308 and value:
        value, exponent = value / 1e308, exponent + 308
    power_of_ten = float(f"1e{abs(exponent)}")
    value = value * power_of_ten if exponent >= 0 else value / power_of_ten
    return -value if literal.startswith("-") else value


def _whole(bound: Decimal, rounding: str, step: int) -> Decimal:
    """``bound`` rounded to an integer, and moved by ``step``."""
    if not bound.is_finite() or bound.adjusted() > 40:
        return bound
    return bound.quantize(Decimal(1), rounding, Context(prec=60)) + step


def _next_double(low: Decimal | None) -> int | None:
    """The first integer from ``low`` on that is a double, or the maximum of int64."""
    if low is None:
        return None
    if low > INT64_MAX:
        raise UnsupportedSchema(f"integers from {_shown(low)} on have more than 64 bits")
    whole = max(int(low), INT64_MIN_KEPT)
    return whole if whole == INT64_MAX else _double_at(whole, 1)


def _last_double(high: Decimal | None) -> int | None:
    """The last integer up to ``high`` that is a double, or the maximum of int64."""
    if high is None:
        return None
    if high < INT64_MIN_KEPT:
        raise UnsupportedSchema(f"integers up to {_shown(high)} have more than 64 bits")
    return INT64_MAX if high >= INT64_MAX else _double_at(int(high), -1)


def _double_at(whole: int, towards: int) -> int:
    """``whole``, or the nearest double in that direction; at most 1024 away."""
    while int(float(whole)) != whole:
        spacing = 1 << max(0, whole.bit_length() - 53)
        whole += towards * ((-towards * whole) % spacing or spacing)
    return whole if abs(whole) <= INT64_MAX else INT64_MAX


def _inside(bound: Decimal, rounding: str) -> Decimal:
    """``bound`` if it is exact, else rounded to 15 digits towards the inside of the range."""
    if abs(bound) <= MAX_BOUND and _exact(bound) is not None and abs(bound) >= SMALLEST_STEP:
        return bound
    rounded = Context(prec=DIGITS, rounding=rounding).plus(bound)
    if rounded and abs(rounded) < 1:
        rounded = rounded.quantize(SMALLEST_STEP, rounding, Context(prec=60))
    return rounded


def _plain(bound: Decimal) -> int | float:
    return int(bound) if bound == bound.to_integral_value() else float(bound)


def _shown(number: SchemaNumber) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"{text[:40]}..."
