"""Data channels: ordered streams of messages between two sockets, or a socket and the bridge (spec 04 §6)."""

from bridge.builtins.channels.channel import Channel, ChannelReader, ChannelWriter, Direction, Item
from bridge.builtins.channels.table import ChannelTable
from bridge.builtins.channels.worker import Channels

__all__ = ["Channel", "ChannelReader", "ChannelTable", "ChannelWriter", "Channels", "Direction", "Item"]
