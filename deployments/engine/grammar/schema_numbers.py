"""Numbers of a JSON schema, as llguidance can keep them.

llguidance reads every number as a double, by a parser that may be off in the last place, and writes
constants from those. So a constant is taken only where the same number comes out, and a bound that
is no such number is moved to the next one inside the range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TypeAlias

SchemaNumber: TypeAlias = int | Decimal

INT64_MAX = 2**63 - 1
INT64_MIN_KEPT = -(2**63) + 1024
"""The smallest double above int64's own minimum, which llguidance cannot negate."""

MAX_EXPONENT = 400
"""Of ten; doubles end near 308 and -324."""

TINY = Decimal(f"1e-{MAX_EXPONENT}")

MAX_BOUND = Decimal(10**18)
"""llguidance writes ranges of digits with 64-bit integers."""

LARGEST_OPEN = Decimal(10**17)
"""A range from here on needs an end of its own."""

DIGITS = 15
"""What every double keeps of a decimal number."""

SMALLEST_STEP = Decimal("1e-20")
MAX_MULTIPLE = 2**32 - 1


class Unkeepable(ValueError):
    """Something that a text cannot be held to; the message is for the client."""


def decimal(literal: str) -> Decimal:
    """A number of JSON as it is written; far outside of doubles infinite, or as near to zero as
    no double is.

    Arithmetic on a number of a million digits, which ten characters can ask for, takes seconds.
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
    """``number`` for a ``const`` or an ``enum``. Raises where another one would be written."""
    exact = _exact(number)
    if exact is None:
        raise Unkeepable(
            f"the number {_shown(number)} cannot be written exactly; those of {DIGITS} digits can"
        )
    return exact


def multiple(number: SchemaNumber) -> int | float:
    """``number`` for ``multipleOf``. Raises where llguidance would count by another one."""
    given = Decimal(number)
    if not (given > 0 and given.is_finite()):
        raise Unkeepable(f"multipleOf must be a number above 0, not {_shown(number)}")
    exact = _exact(number)
    if exact is not None:
        value, exponent = float(exact), 0
        while value != int(value) and exponent < DIGITS:  # as llguidance finds the digits
            value *= 10
            exponent += 1
        if value <= MAX_MULTIPLE and Decimal(value).scaleb(-exponent) == given:
            return exact
    raise Unkeepable(f"multipleOf cannot be {_shown(number)}: it has too many digits")


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers between two bounds, each of which may be absent or not part of it."""

    low: Decimal | None
    high: Decimal | None
    above_low: bool = False
    below_high: bool = False

    def of_integers(self) -> dict[str, int | float]:
        """Keywords for the integers in it that 64 bits hold."""
        low, high = self.low, self.high
        if low is not None:
            low = _whole(low, ROUND_CEILING, int(self.above_low and low == low.to_integral_value()))
        if high is not None:
            step = int(self.below_high and high == high.to_integral_value())
            high = _whole(high, ROUND_FLOOR, -step)
        self._check(low, high)
        first, last = _next_double(low), _last_double(high)
        if first is not None and last is None and first >= LARGEST_OPEN:
            last = INT64_MAX
        if last is not None and first is None and last <= -LARGEST_OPEN:
            first = INT64_MIN_KEPT
        kept = {"minimum": first, "maximum": last}
        if first is not None and last is not None and first > last:
            raise Unkeepable(f"no integer that a double holds lies in it: {self._span()}")
        return {key: value for key, value in kept.items() if value is not None}

    def of_numbers(self) -> dict[str, int | float]:
        """Keywords for the numbers in it that have up to 15 digits, and lie within 1e18."""
        self._check(self.low, self.high)
        # Between an excluded integer and the next one llguidance would let the integer itself in.
        if self.low is not None and self.above_low and _integral(self.low):
            return replace(self, low=self.low + _step(self.low), above_low=False).of_numbers()
        if self.high is not None and self.below_high and _integral(self.high):
            return replace(self, high=self.high - _step(self.high), below_high=False).of_numbers()
        low = None if self.low is None else _inside(max(self.low, -MAX_BOUND), ROUND_CEILING)
        high = None if self.high is None else _inside(min(self.high, MAX_BOUND), ROUND_FLOOR)
        if low is not None and high is None and low >= LARGEST_OPEN:
            high = MAX_BOUND
        if high is not None and low is None and high <= -LARGEST_OPEN:
            low = -MAX_BOUND
        if low is not None and high is not None:
            empty = low > high or (low == high and (self.above_low or self.below_high))
            if empty:
                raise Unkeepable(f"no number of {DIGITS} digits lies in it: {self._span()}")
        keywords: dict[str, int | float] = {}
        if low is not None:
            keywords["exclusiveMinimum" if self.above_low else "minimum"] = _plain(low)
        if high is not None:
            keywords["exclusiveMaximum" if self.below_high else "maximum"] = _plain(high)
        return keywords

    def _span(self) -> str:
        ends = ("..." if end is None else _shown(end) for end in (self.low, self.high))
        return "from {} to {}".format(*ends)

    def _check(self, low: Decimal | None, high: Decimal | None) -> None:
        if low is not None and high is not None and low > high:
            raise Unkeepable(f"Unsatisfiable: no number lies in it: {self._span()}")
        for bound in (low, high):
            if bound is not None and not bound.is_finite():
                raise Unkeepable("a bound has an exponent that no number has")


def _integral(bound: Decimal) -> bool:
    return bound.is_finite() and bound == bound.to_integral_value()


def _step(bound: Decimal) -> Decimal:
    """The last of the digits that are kept of ``bound``."""
    return Decimal(1).scaleb(bound.adjusted() - DIGITS + 1) if bound else SMALLEST_STEP


def _exact(number: SchemaNumber) -> int | float | None:
    """What is read and written again as ``number``; ``None`` where nothing is."""
    given = Decimal(number)
    if not given.is_finite() or given.adjusted() > 308:
        return None
    if given == given.to_integral_value():
        whole = int(given)
        if whole == INT64_MAX or (abs(whole) <= INT64_MAX and int(float(whole)) == whole):
            return whole
    double = float(given)
    kept = Decimal(repr(double)) == given and _read(repr(double)) == double
    if isinstance(number, Decimal) and double.is_integer():
        kept = kept and Decimal(double) == given  # its digits are read as an integer, not as 1e25
    return double if kept else None


def _read(literal: str) -> float:
    """As Rust's serde_json reads a number: digits times a power of ten, each rounded."""
    mantissa, _, power = literal.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    value, exponent = float(int(whole + fraction)), int(power or 0) - len(fraction)
    while exponent < -308 and value:
        value, exponent = value / 1e308, exponent + 308
    power_of_ten = float(f"1e{abs(exponent)}")
    value = value * power_of_ten if exponent >= 0 else value / power_of_ten
    return -value if literal.startswith("-") else value


def _whole(bound: Decimal, rounding: str, step: int) -> Decimal:
    if not bound.is_finite() or bound.adjusted() > 40:
        return bound
    return bound.quantize(Decimal(1), rounding, Context(prec=60)) + step


def _next_double(low: Decimal | None) -> int | None:
    """The first integer from ``low`` on that is a double."""
    if low is None:
        return None
    if low > INT64_MAX:
        raise Unkeepable(f"integers from {_shown(low)} on have more than 64 bits")
    whole = max(int(low), INT64_MIN_KEPT)
    return whole if whole == INT64_MAX else _double_at(whole, 1)


def _last_double(high: Decimal | None) -> int | None:
    """The last integer up to ``high`` that is a double, or int64's own maximum."""
    if high is None:
        return None
    if high < INT64_MIN_KEPT:
        raise Unkeepable(f"integers up to {_shown(high)} have more than 64 bits")
    return INT64_MAX if high >= INT64_MAX else _double_at(int(high), -1)


def _double_at(whole: int, towards: int) -> int:
    """``whole``, or the nearest double in that direction; there is one every 1024."""
    while int(float(whole)) != whole:
        spacing = 1 << max(0, whole.bit_length() - 53)
        whole += towards * ((-towards * whole) % spacing or spacing)
    return whole if abs(whole) <= INT64_MAX else INT64_MAX


def _inside(bound: Decimal, rounding: str) -> Decimal:
    if abs(bound) <= MAX_BOUND and _exact(bound) is not None and abs(bound) >= SMALLEST_STEP:
        return bound
    kept = Context(prec=DIGITS, rounding=rounding).plus(bound)
    if kept and abs(kept) < 1:
        kept = kept.quantize(SMALLEST_STEP, rounding, Context(prec=60))
    return kept


def _plain(bound: Decimal) -> int | float:
    return int(bound) if bound == bound.to_integral_value() else float(bound)


def _shown(number: SchemaNumber) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"{text[:40]}..."
