"""What Temporal knows the bridge by follows the configuration, in every namespace."""

import asyncio

from bridge.config import BridgeConfig
from bridge.parts.site import Site
from bridge.settings import credential_sources
from bridge.temporal.services import TemporalServices

__all__ = ["follow_credentials"]


def follow_credentials(site: Site, temporal: TemporalServices) -> None:
    """Have new keys, certificates and headers of the configuration put in force."""

    async def apply(config: BridgeConfig) -> None:
        async with asyncio.TaskGroup() as tasks:
            for service, block in zip(temporal.all, config.temporal.everywhere, strict=True):
                follow = service.connection.follow(credential_sources(block))
                tasks.create_task(follow, name=f"credentials for {block.namespace}")

    site.live.on_change("iii-temporal", apply)
