"""What it costs to find the route of a path, by the number of routes."""

import asyncio
import time

from bridge.builtins.http.routes import Route, RouteTable, parse_pattern
from bridge.engine.triggers import Binding
from bridge.protocol import payload

__all__ = ["run"]

ROUTES = (1, 100, 5_000)
ROUNDS = 20_000
REPEATS = 5


async def run() -> None:
    """Measure a literal path, one with a parameter, and one that no route serves."""
    print(f"{'routes':>8}{'literal':>14}{'parameter':>14}{'no route':>14}   per match, best of {REPEATS}")
    for count in ROUTES:
        literal, parameter = _table(count, "items"), _table(count, "items/:id")
        last = f"/api/v{count - 1}/items"
        times_ns = (
            _match_ns(literal, last),
            _match_ns(parameter, f"{last}/42"),
            _match_ns(parameter, f"{last}/42/none"),
        )
        print(f"{count:>8,}" + "".join(f"{time_ns:>11,.0f} ns" for time_ns in times_ns))


def _table(count: int, ending: str) -> RouteTable:
    table = RouteTable()
    for number in range(count):
        path = f"/api/v{number}/{ending}"
        table.add(Route(Binding(path, "http", f"f{number}", payload.NULL), "GET", path, parse_pattern(path)))
    return table


def _match_ns(table: RouteTable, path: str) -> float:
    times_ns = []
    for _ in range(REPEATS):
        began_ns = time.perf_counter_ns()
        for _ in range(ROUNDS):
            table.match(path)
        times_ns.append((time.perf_counter_ns() - began_ns) / ROUNDS)
    return min(times_ns)


if __name__ == "__main__":
    asyncio.run(run())
