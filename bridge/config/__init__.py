"""`iii-config.yaml` in both styles, the environment and the command line, as frozen models (spec 05 §4)."""

from bridge.config.block import Block
from bridge.config.blocks.adapters import BuiltinQueueAdapter, RedisAdapter, StateKvAdapter, StreamKvAdapter
from bridge.config.blocks.configuration import ConfigurationBlock
from bridge.config.blocks.cron import CronBlock
from bridge.config.blocks.entrance import ServerTlsBlock
from bridge.config.blocks.exec import ExecBlock
from bridge.config.blocks.http import CorsBlock, HttpBlock, MiddlewareEntry
from bridge.config.blocks.http_functions import HttpFunctionsBlock, UrlSecurity
from bridge.config.blocks.listener import ExposeRule, ListenerBlock, Match, RbacBlock
from bridge.config.blocks.observability import ObservabilityBlock
from bridge.config.blocks.pubsub import PubSubBlock
from bridge.config.blocks.queue import DEFAULT_QUEUE, DeadLetterLimits, QueueBlock, QueueConfig
from bridge.config.blocks.state import StateBlock
from bridge.config.blocks.stream import StreamBlock
from bridge.config.blocks.temporal import AdminBlock, TemporalBlock, WorkerOutboxLimits
from bridge.config.blocks.temporal_tls import TlsBlock
from bridge.config.bridge_config import BLOCK_FIELDS, BridgeConfig
from bridge.config.changes import BlockChange, change_of
from bridge.config.environment import ENGINE_VERSION, expand_value
from bridge.config.hosts import is_loopback
from bridge.config.loader import BLOCKS, DEFAULT_PATHS, load_block, load_config
from bridge.config.problems import InvalidConfigError, Problem

__all__ = [
    "BLOCKS",
    "BLOCK_FIELDS",
    "DEFAULT_PATHS",
    "DEFAULT_QUEUE",
    "ENGINE_VERSION",
    "AdminBlock",
    "Block",
    "BlockChange",
    "BridgeConfig",
    "BuiltinQueueAdapter",
    "ConfigurationBlock",
    "CorsBlock",
    "CronBlock",
    "DeadLetterLimits",
    "ExecBlock",
    "ExposeRule",
    "HttpBlock",
    "HttpFunctionsBlock",
    "InvalidConfigError",
    "ListenerBlock",
    "Match",
    "MiddlewareEntry",
    "ObservabilityBlock",
    "Problem",
    "PubSubBlock",
    "QueueBlock",
    "QueueConfig",
    "RbacBlock",
    "RedisAdapter",
    "ServerTlsBlock",
    "StateBlock",
    "StateKvAdapter",
    "StreamBlock",
    "StreamKvAdapter",
    "TemporalBlock",
    "TlsBlock",
    "UrlSecurity",
    "WorkerOutboxLimits",
    "change_of",
    "expand_value",
    "is_loopback",
    "load_block",
    "load_config",
]
