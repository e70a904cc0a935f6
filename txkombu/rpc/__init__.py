"""Request and reply: a client that awaits replies, and a server that sends them."""

from ..exceptions import RemoteError
from .client import RPCClient
from .server import RPCServer

__all__ = ["RPCClient", "RPCServer", "RemoteError"]
