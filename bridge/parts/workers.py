"""Where workers connect, and the processes that the bridge starts for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.builtins.channels import ChannelTable
from bridge.builtins.exec import Exec
from bridge.config import BridgeConfig, ExecBlock, ListenerBlock
from bridge.errors import ConfigError
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.worker_socket import WorkerSocket
from bridge.parts.site import Site
from bridge.settings import access_rules, entrance, exec_settings, socket_limits

__all__ = ["open_processes", "open_workers"]

TakeTelemetry = Callable[[bytes], None]


async def open_workers(
    site: Site, channels: ChannelTable, take_telemetry: TakeTelemetry, sockets: list[WorkerSocket]
) -> tuple[str, ...]:
    """Accept workers at every listener; returns the URLs.

    Args:
        site: The bridge.
        channels: What the ends of channels connect to.
        take_telemetry: Takes the frames of telemetry.
        sockets: Gets each socket as soon as it accepts.
    """
    urls = [
        await _listen(site, listener, channels, take_telemetry, sockets) for listener in site.config.listeners
    ]

    async def apply(config: BridgeConfig) -> None:
        for socket, listener in zip(sockets, config.listeners, strict=True):
            socket.apply(access_rules(listener))

    site.live.on_change("iii-worker-manager", apply)
    return tuple(urls)


async def open_processes(site: Site) -> None:
    """Start what the file lists, once workers can connect."""
    blocks = site.config.processes
    running: list[Exec] = []

    async def start(number: int, block: ExecBlock) -> Exec:
        name = "exec" if len(blocks) == 1 else f"exec-{number}"
        processes = Exec(exec_settings(block), site.engine.spawn, name=name, clock_s=time.monotonic)
        await processes.start()
        return processes

    async def close() -> None:
        for processes in reversed(running):
            await processes.close()

    async def apply(config: BridgeConfig) -> None:
        for index, (old, new) in enumerate(zip(site.config.processes, config.processes, strict=True)):
            if old != new:
                await running[index].close()
                running[index] = await start(index + 1, new)

    site.closing.push_async_callback(close)
    for number, block in enumerate(blocks, start=1):
        running.append(await start(number, block))
    site.live.on_change("iii-exec", apply)


async def _listen(
    site: Site,
    listener: ListenerBlock,
    channels: ChannelTable,
    take_telemetry: TakeTelemetry,
    sockets: list[WorkerSocket],
) -> str:
    guard = entrance(listener, site.certificates)
    socket = WorkerSocket(
        site.engine,
        socket_limits(site.config, listener),
        take_telemetry,
        ChannelSocket(channels),
        access_rules(listener),
        guard,
    )
    with _bind_errors(listener.host, listener.port):
        port = await socket.start(listener.host, listener.port)
    sockets.append(socket)
    site.closing.push_async_callback(socket.disconnect_all)
    return guard.url("ws", listener.host, port)


@contextmanager
def _bind_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(
            f"address {host}:{port} is already in use or cannot be bound ({exc.strerror}). "
            "Stop what listens there, or choose another port in the configuration."
        ) from exc
