"""A worker on the real Python SDK with its telemetry on: it logs and counts while it runs a function."""

import sys
import threading

from iii import InitOptions, register_worker  # type: ignore[import-untyped]
from iii_helpers.observability import Logger
from opentelemetry import metrics

OTEL = {
    "enabled": True,
    "service_name": "billing",
    "metrics_enabled": True,
    "metrics_export_interval_ms": 100,
    "logs_batch_size": 1,
}


def main() -> None:
    worker = register_worker(sys.argv[1], InitOptions(worker_name="billing", otel=OTEL))
    logger = Logger(service_name="billing")
    charges = metrics.get_meter("shop").create_counter("shop.charges", "1", "Charges made")

    async def charge(data: dict[str, object]) -> dict[str, object]:
        charges.add(1, {"currency": "EUR"})
        logger.info("charged", {"order": data["order"]})  # noqa: PLE1205 - it takes data, no arguments
        return {"ok": True}

    worker.register_function("billing::charge", charge)
    threading.Event().wait()


main()
