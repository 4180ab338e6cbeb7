"""Cron expressions as iii reads them: seconds first, Sunday = 1, six fields or seven (spec 05 §1.2)."""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

FIRST_YEAR = 1970
LAST_YEAR = 2100


class CronSyntaxError(ValueError):
    """An expression does not follow the grammar.

    Attributes:
        expression: The text as it was given.
        detail: The field, what was found there and what is allowed.
    """

    def __init__(self, expression: str, detail: str) -> None:
        super().__init__(f"Invalid cron expression '{expression}': {detail}")
        self.expression = expression
        self.detail = detail


@dataclass(frozen=True)
class CronExpression:
    """The values each field allows, sorted; a moment matches when all of its fields do.

    Attributes:
        days_of_week: Sunday = 1 to Saturday = 7; must match together with `days_of_month`, unlike Vixie cron.
        years: None for every year from `FIRST_YEAR` to `LAST_YEAR`.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days_of_month: tuple[int, ...]
    months: tuple[int, ...]
    days_of_week: tuple[int, ...]
    years: tuple[int, ...] | None

    def next_after(self, moment: datetime, *, zone: tzinfo = UTC) -> datetime | None:
        """Find the first match strictly after the whole second `moment` lies in.

        The fields are read on the clock of `zone`. A time the clock skips does not match, one it shows twice
        matches twice.

        Returns:
            The match in UTC, or None if the expression never matches again.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError("The moment has no time zone; pass an aware datetime, for example in UTC")
        current = moment.astimezone(UTC).replace(microsecond=0)
        passes = (self._next_on_pass(fold, current, zone) for fold in (0, 1))
        return min((instant for instant in passes if instant is not None), default=None)

    def _next_on_pass(self, fold: int, current: datetime, zone: tzinfo) -> datetime | None:
        for wall in self._walls_from(_earliest_wall(current, zone)):
            instant = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            exists = instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall
            if exists and instant > current:
                return instant
        return None

    def _walls_from(self, start: datetime) -> Iterator[datetime]:
        for day in self._days_from(start.date()):
            earliest = start.time() if day == start.date() else time.min
            for moment in self._times_from(earliest):
                yield datetime.combine(day, moment)

    def _days_from(self, start: date) -> Iterator[date]:
        years = self.years or range(FIRST_YEAR, LAST_YEAR + 1)
        for year in (year for year in years if year >= start.year):
            for month in (month for month in self.months if (year, month) >= (start.year, start.month)):
                _, last_day = monthrange(year, month)
                for day in (date(year, month, number) for number in self.days_of_month if number <= last_day):
                    if day >= start and day.isoweekday() % 7 + 1 in self.days_of_week:
                        yield day

    def _times_from(self, start: time) -> Iterator[time]:
        for hour in (hour for hour in self.hours if hour >= start.hour):
            for minute in self.minutes:
                if (hour, minute) >= (start.hour, start.minute):
                    for second in self.seconds:
                        if (moment := time(hour, minute, second)) >= start:
                            yield moment


def _earliest_wall(current: datetime, zone: tzinfo) -> datetime:
    """Return the wall time to search from: where the clock will be set back to, if it is to repeat itself."""
    local = current.astimezone(zone)
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    repeated = first - second if first is not None and second is not None else timedelta()
    return local.replace(tzinfo=None, fold=0) - repeated


@dataclass(frozen=True)
class _FieldRule:
    title: str
    minimum: int
    maximum: int
    names: Mapping[str, int] = field(default_factory=dict)
    named_span: str = ""
    accepts_question_mark: bool = False

    @property
    def allowed(self) -> str:
        stars = "* or ?" if self.accepts_question_mark else "*"
        return (
            f"allowed are {self.minimum}-{self.maximum}{self.named_span}, {stars}, "
            "ranges a-b, steps such as */2, and comma lists of these"
        )


def _named(first: int, *spellings: str) -> dict[str, int]:
    return {name: value for value, names in enumerate(spellings, first) for name in names.split()}


_MONTHS = _named(
    1,
    "jan january",
    "feb february",
    "mar march",
    "apr april",
    "may",
    "jun june",
    "jul july",
    "aug august",
    "sep september",
    "oct october",
    "nov november",
    "dec december",
)
_WEEKDAYS = _named(
    1,
    "sun sunday",
    "mon monday",
    "tue tues tuesday",
    "wed wednesday",
    "thu thurs thursday",
    "fri friday",
    "sat saturday",
)
_YEAR = _FieldRule("year", FIRST_YEAR, LAST_YEAR)
_REQUIRED_FIELDS = (
    _FieldRule("second", 0, 59),
    _FieldRule("minute", 0, 59),
    _FieldRule("hour", 0, 23),
    _FieldRule("day of month", 1, 31, accepts_question_mark=True),
    _FieldRule("month", 1, 12, _MONTHS, " or JAN-DEC"),
    _FieldRule("day of week", 1, 7, _WEEKDAYS, " with Sunday = 1 or SUN-SAT", accepts_question_mark=True),
)
_LAYOUT = "second, minute, hour, day of month, month, day of week and optionally year"
_SHORTHANDS = {
    "@yearly": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 1",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_WHITESPACE = " \t\r\n"
_WS = f"[{_WHITESPACE}]*"
# Whitespace belongs to numbers and names: `5 , 10` is one field, `* , 10` is not.
_ITEM = re.compile(
    rf"""
    (?: (?P<wildcard>[*?])
      | {_WS}(?P<number>[0-9]+){_WS}  (?: -{_WS}(?P<last_number>[0-9]+){_WS} )?
      | {_WS}(?P<name>[A-Za-z]+){_WS} (?: -{_WS}(?P<last_name>[A-Za-z]+){_WS} )?
    )
    (?: /{_WS}(?P<step>[0-9]+){_WS} )?
    """,
    re.VERBOSE,
)
# What may follow an item: a list separator, the next field, or the end.
_CONTINUATION = re.compile(rf"[,*?0-9A-Za-z{_WHITESPACE}]|\Z")
_WORD = re.compile(f"[^,{_WHITESPACE}]+|,")


def parse(text: str) -> CronExpression:
    """Read an expression of six or seven fields, or one of iii's shorthands.

    Raises:
        CronSyntaxError: The text does not follow the grammar of spec 05 §1.2.
    """
    bare = text.strip(_WHITESPACE)
    if bare.startswith("@") and bare not in _SHORTHANDS:
        known = ", ".join(_SHORTHANDS)
        raise CronSyntaxError(
            text, f"'{bare}' is not a shorthand; allowed are {known}, or the fields {_LAYOUT}"
        )
    return _Reader(_SHORTHANDS.get(bare, text)).read()


class _Reader:
    """A place in the text that only moves forward."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def read(self) -> CronExpression:
        seconds, minutes, hours, days_of_month, months, days_of_week = map(self._field, _REQUIRED_FIELDS)
        years = None if self._at_end() else self._field(_YEAR)
        if not self._at_end():
            self._skip_whitespace()
            found = self._word()
            raise CronSyntaxError(self._text, f"found '{found}' after the year; the fields are {_LAYOUT}")
        if years == tuple(range(FIRST_YEAR, LAST_YEAR + 1)):
            years = None
        return CronExpression(seconds, minutes, hours, days_of_month, months, days_of_week, years)

    def _field(self, rule: _FieldRule) -> tuple[int, ...]:
        if self._at_end():
            raise CronSyntaxError(self._text, f"the field {rule.title} is missing; the fields are {_LAYOUT}")
        self._skip_whitespace()
        values = set(self._item(rule))
        while self._text.startswith(",", self._position):
            self._position += 1
            values.update(self._item(rule))
        return tuple(sorted(values))

    def _item(self, rule: _FieldRule) -> Iterable[int]:
        match = _ITEM.match(self._text, self._position)
        if match is None:
            self._skip_whitespace()
            raise self._error(rule, f"found '{self._word()}'" if not self._at_end() else "found nothing")
        if not _CONTINUATION.match(self._text, match.end()):
            self._position = match.end()
            raise self._error(rule, f"found '{match[0]}{self._word()}'")
        base = self._base(rule, match)
        step = self._step(rule, match)
        self._position = match.end()
        return base[::step]

    def _base(self, rule: _FieldRule, match: re.Match[str]) -> range:
        """Return the values of an item before its step."""
        written = match[0].strip(_WHITESPACE)
        if match["wildcard"] == "?" and not rule.accepts_question_mark:
            raise self._error(rule, f"found '{written}'")
        if match["wildcard"]:
            return range(rule.minimum, rule.maximum + 1)
        if match["name"]:
            if match["step"] and not match["last_name"]:
                raise self._error(rule, f"found '{written}', but a single name takes no step; write a range")
            first = self._named_value(rule, match["name"])
            last = self._named_value(rule, match["last_name"] or match["name"])
        else:
            first = self._number(rule, match["number"])
            last = self._number(rule, match["last_number"] or match["number"])
            if match["step"] and not match["last_number"]:
                last = rule.maximum
        if first > last:
            raise self._error(rule, f"found '{written}', a range that ends before it starts")
        return range(first, last + 1)

    def _named_value(self, rule: _FieldRule, name: str) -> int:
        value = rule.names.get(name.lower())
        if value is None:
            raise self._error(rule, f"found '{name}'")
        return value

    def _number(self, rule: _FieldRule, digits: str) -> int:
        value = _int_up_to(rule.maximum, digits)
        if value is None or value < rule.minimum:
            raise self._error(rule, f"found {digits}, which is out of range")
        return value

    def _step(self, rule: _FieldRule, match: re.Match[str]) -> int:
        if match["step"] is None:
            return 1
        step = _int_up_to(rule.maximum, match["step"])
        if step is None:
            raise self._error(rule, f"found the step {match['step']}, but a step is at most {rule.maximum}")
        if step == 0:
            raise self._error(rule, "found the step 0, but a step cannot be zero")
        return step

    def _error(self, rule: _FieldRule, found: str) -> CronSyntaxError:
        return CronSyntaxError(self._text, f"{rule.title}: {found}; {rule.allowed}")

    def _at_end(self) -> bool:
        return not self._text[self._position :].strip(_WHITESPACE)

    def _skip_whitespace(self) -> None:
        self._position = len(self._text) - len(self._text[self._position :].lstrip(_WHITESPACE))

    def _word(self) -> str:
        word = _WORD.match(self._text, self._position)
        return word[0] if word else ""


def _int_up_to(maximum: int, digits: str) -> int | None:
    """Read a number however long it is written; None if it is greater than `maximum`."""
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(maximum)) or int(significant) > maximum:
        return None
    return int(significant)
