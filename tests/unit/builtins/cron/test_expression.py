"""The grammar of spec 05 §1.2 and the arithmetic of the next match."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.builtins.cron.expression import CronExpression, CronSyntaxError, parse

NOW = datetime(2026, 3, 4, 10, 20, 30, 400_000, tzinfo=UTC)  # a Wednesday

NEXT_AFTER_NOW = {
    "* * * * * *": "2026-03-04 10:20:31",
    "*/7 * * * * *": "2026-03-04 10:20:35",
    "0 */5 * * * *": "2026-03-04 10:25:00",
    "0 5/15 * * * *": "2026-03-04 10:35:00",
    "0 0 */6 * * *": "2026-03-04 12:00:00",
    "0 0 9 * * Mon": "2026-03-09 09:00:00",
    "0 0 9 * * 1": "2026-03-08 09:00:00",
    "0 0 9 * * 2": "2026-03-09 09:00:00",
    "0 0 9 * * 7": "2026-03-07 09:00:00",
    "0 0 9 * * 1-5 *": "2026-03-05 09:00:00",
    "0 0 9 ? * MON": "2026-03-09 09:00:00",
    "0 0 0 13 * Fri": "2026-03-13 00:00:00",
    "0 0 0 1 * ? 2030/2": "2030-01-01 00:00:00",
    "@daily": "2026-03-05 00:00:00",
    "@weekly": "2026-03-08 00:00:00",
    "@hourly": "2026-03-04 11:00:00",
    "@monthly": "2026-04-01 00:00:00",
    "@yearly": "2027-01-01 00:00:00",
    "0 0 0 29 2 *": "2028-02-29 00:00:00",
    "0 0 0 29 2 Sun": "2032-02-29 00:00:00",
    "59 59 23 31 12 ? 2100": "2100-12-31 23:59:59",
}


@pytest.mark.parametrize(("text", "expected"), NEXT_AFTER_NOW.items())
def test_next_match_of_the_documented_expressions(text: str, expected: str) -> None:
    assert parse(text).next_after(NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


REJECTED = {
    "": "the field second is missing",
    "0 9 * * *": "the field day of week is missing",
    "0 0 9 * * 0": "day of week: found 0, which is out of range; allowed are 1-7 with Sunday = 1 or SUN-SAT",
    "0 0 9 * * 8": "day of week: found 8, which is out of range",
    "60 * * * * *": "second: found 60, which is out of range; allowed are 0-59, *,",
    "0 0 24 * * *": "hour: found 24, which is out of range; allowed are 0-23",
    "0 30-10 * * * *": "minute: found '30-10', a range that ends before it starts",
    "? * * * * *": "second: found '?'",
    "Mon * * * * *": "second: found 'Mon'",
    "0 0 12 L * *": "day of month: found 'L'; allowed are 1-31, * or ?,",
    "0 0 0 15W * *": "month: found 'W'; allowed are 1-12 or JAN-DEC",
    "0 0 0 * * 2#1": "day of week: found '2#1'",
    "0 0/0 * * * *": "minute: found the step 0, but a step cannot be zero",
    "-1 * * * * *": "second: found '-1'",
    "* * * * * * * x": "found 'x' after the year",
    "0 0 0 * * * 2101": "year: found 2101, which is out of range; allowed are 1970-2100",
    "0 0 0 * * * 1969": "year: found 1969, which is out of range",
    "@midnight": "'@midnight' is not a shorthand; allowed are @yearly, @monthly, @weekly, @daily, @hourly",
    "@every 5m": "'@every 5m' is not a shorthand",
    "@Daily": "'@Daily' is not a shorthand",
    "not a cron": "second: found 'not'",
    "*/60 * * * * *": "second: found the step 60, but a step is at most 59",
    "0 0 0 ? * Tues/2": "day of week: found 'Tues/2', but a single name takes no step",
    "0 0 0 ? * 3-THU": "day of week: found '3-THU'",
    "0 0 0 ? * Fri-Mon": "day of week: found 'Fri-Mon', a range that ends before it starts",
    "0 0 22-2 * * *": "hour: found '22-2', a range that ends before it starts",
    "0 0 0 0 * *": "day of month: found 0, which is out of range",
    "0 0 0 1 sept *": "month: found 'sept'",
    "0 0 0 ? * mön": "day of week: found 'mön'",
    "0 0 0 ? * \u017fun": "day of week: found '\u017fun'",
    "5, * * * * * *": "second: found '*'",
    "5, ": "second: found nothing",
    "* , 5 * * * * *": "minute: found ','",
    "*/ * * * * *": "second: found '*/'",
    "99999999999999999999 * * * * *": "second: found 99999999999999999999, which is out of range",
    "٣ * * * * *": "second: found '٣'",
}


@pytest.mark.parametrize(("text", "detail"), REJECTED.items())
def test_rejection_quotes_the_expression_and_names_the_field(text: str, detail: str) -> None:
    with pytest.raises(CronSyntaxError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"Invalid cron expression '{text}': {detail}")


def test_a_number_too_long_for_an_int_is_a_syntax_error() -> None:
    with pytest.raises(CronSyntaxError, match="out of range"):
        parse("9" * 5000 + " * * * * *")


EQUIVALENT = [
    ("* * * * * * *", "* * * * * *"),
    ("******", "* * * * * *"),
    ("* * * * * * 1970-2100", "* * * * * *"),
    ("  0\t0 9\r\n* * * ", "0 0 9 * * *"),
    ("5 , 10 * * * * *", "5,10 * * * * *"),
    ("10 - 20 * * * * *", "10-20 * * * * *"),
    ("5 / 20 * * * * *", "5,25,45 * * * * *"),
    ("*/ 20 * * * * *", "0,20,40 * * * * *"),
    ("10-20/5 * * * * *", "10,15,20 * * * * *"),
    ("5,5,3 * * * * *", "3,5 * * * * *"),
    ("007 * * * * *", "7 * * * * *"),
    ("7-7 * * * * *", "7 * * * * *"),
    ("0 0 0 ?/10 * *", "0 0 0 1,11,21,31 * *"),
    ("0 0 0 ? * *", "0 0 0 * * ?"),
    ("0 0 0 * jan,FEBRUARY,Mar-May/2 *", "0 0 0 * 1,2,3,5 *"),
    ("0 0 0 * sep - dec *", "0 0 0 * 9-12 *"),
    ("0 0 0 ? * tues,Thurs,sat", "0 0 0 ? * 3,5,7"),
    ("0 0 0 ? * mon-fri/2", "0 0 0 ? * 2,4,6"),
    ("\t@weekly\n", "0 0 0 * * Sunday"),
    ("@yearly", "0 0 0 1 January *"),
]


@pytest.mark.parametrize(("text", "plain"), EQUIVALENT)
def test_spellings_of_one_schedule_are_equal(text: str, plain: str) -> None:
    assert parse(text) == parse(plain)


def test_fields_are_sorted_and_a_missing_year_is_every_year() -> None:
    assert parse("9,3 1 2 4 5 6") == CronExpression((3, 9), (1,), (2,), (4,), (5,), (6,), None)


@pytest.mark.parametrize(
    "text", ["0 0 0 31 2 *", "0 0 0 30 Feb ?", "0 0 0 29 2 * 2099", "* * * * * * 2025", "0 0 0 1 1 * 2026"]
)
def test_a_schedule_without_a_future_match_has_no_next(text: str) -> None:
    assert parse(text).next_after(NOW) is None


def test_no_match_comes_after_the_last_year() -> None:
    assert parse("* * * * * *").next_after(datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)) is None


def test_the_current_second_never_matches_again() -> None:
    moment = datetime(2026, 3, 4, 12, tzinfo=UTC)
    noon = parse("0 0 12 * * *")
    assert noon.next_after(moment - timedelta(microseconds=1)) == moment
    assert noon.next_after(moment) == moment + timedelta(days=1)
    assert noon.next_after(moment + timedelta(microseconds=999_999)) == moment + timedelta(days=1)


def test_the_moment_may_come_from_any_zone() -> None:
    assert parse("0 0 9 * * *").next_after(NOW.astimezone(ZoneInfo("Asia/Tokyo"))) == datetime(
        2026, 3, 5, 9, tzinfo=UTC
    )


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse("* * * * * *").next_after(NOW.replace(tzinfo=None))


def test_a_zone_moves_the_match_and_the_result_stays_in_utc() -> None:
    match = parse("0 0 9 * * *").next_after(NOW, zone=ZoneInfo("America/New_York"))
    assert match == datetime(2026, 3, 4, 14, tzinfo=UTC)
    assert match.tzinfo is UTC


def test_a_time_the_clock_skips_waits_for_the_next_day() -> None:
    before_the_change = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    match = parse("0 30 2 * * *").next_after(before_the_change, zone=ZoneInfo("Europe/Berlin"))
    assert match == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_a_time_the_clock_shows_twice_matches_twice() -> None:
    zone = ZoneInfo("America/New_York")
    first = parse("0 30 1 * * *").next_after(datetime(2026, 11, 1, 5, 0, tzinfo=UTC), zone=zone)
    assert first == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert parse("0 30 1 * * *").next_after(first, zone=zone) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "moment", "expected"),
    [
        ("America/New_York", "2026-11-01 05:50:00", "2026-11-01 06:30:00"),  # 01:50 on the first pass
        ("Europe/Berlin", "2026-10-25 00:50:00", "2026-10-25 01:30:00"),  # 02:50 on the first pass
    ],
)
def test_a_time_passed_once_still_matches_on_the_second_pass(
    timezone: str, moment: str, expected: str
) -> None:
    match = parse("0 30 1,2 * * *").next_after(
        datetime.fromisoformat(moment).replace(tzinfo=UTC), zone=ZoneInfo(timezone)
    )
    assert match == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def items(minimum: int, maximum: int, *, steps_to: int | None = None) -> st.SearchStrategy[str]:
    value = st.integers(minimum, maximum)
    ranges = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
    bases = st.one_of(st.just("*"), value.map(str), ranges)
    stepped = st.tuples(bases, st.integers(1, steps_to or maximum)).map(
        lambda parts: f"{parts[0]}/{parts[1]}"
    )
    return st.lists(st.one_of(bases, stepped), min_size=1, max_size=3).map(",".join)


TIMES = st.tuples(items(0, 59), items(0, 59), items(0, 23)).map(" ".join)
DATES = st.tuples(items(1, 31), items(1, 12), items(1, 7), items(2020, 2040, steps_to=5)).map(" ".join)
AROUND_CLOCK_CHANGES = st.builds(
    lambda change, shift_s: change + timedelta(seconds=shift_s),
    st.sampled_from(
        [
            datetime(2026, 3, 29, 1, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
            datetime(2026, 3, 8, 7, tzinfo=UTC),
            datetime(2026, 11, 1, 6, tzinfo=UTC),
            datetime(2026, 4, 4, 15, tzinfo=UTC),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        ]
    ),
    st.integers(-7200, 3600),
)
ZONES = st.sampled_from(
    [UTC, *map(ZoneInfo, ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])]
)


def matches(expression: CronExpression, wall: datetime) -> bool:
    return (
        wall.second in expression.seconds
        and wall.minute in expression.minutes
        and wall.hour in expression.hours
        and wall.day in expression.days_of_month
        and wall.month in expression.months
        and int(wall.strftime("%w")) + 1 in expression.days_of_week
        and (expression.years is None or wall.year in expression.years)
    )


@given(TIMES, AROUND_CLOCK_CHANGES, ZONES)
def test_no_second_that_matches_is_passed_over(times: str, moment: datetime, zone: tzinfo) -> None:
    expression = parse(f"{times} * * *")
    window = [moment + timedelta(seconds=offset_s) for offset_s in range(1, 2 * 3600)]
    expected = next((second for second in window if matches(expression, second.astimezone(zone))), None)
    found = expression.next_after(moment, zone=zone)
    if expected is None:
        assert found is None or found > window[-1]
    else:
        assert found == expected


@given(DATES, st.integers(0, 8000), st.integers(0, 86_399))
def test_no_day_that_matches_is_passed_over(dates: str, day: int, second: int) -> None:
    expression = parse(f"0 0 0 {dates}")
    midnight = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=day)
    moment = midnight + timedelta(seconds=second)
    window = [midnight + timedelta(days=days) for days in range(1, 1000)]
    expected = next((day for day in window if matches(expression, day)), None)
    found = expression.next_after(moment)
    if expected is None:
        assert found is None or found > window[-1]
    else:
        assert found == expected
