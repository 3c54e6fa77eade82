"""The port: bound before models load, so that it is held, and listened on once they are there."""

import ctypes
import errno
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

from models.errors import ConfigError

MAX_PORT = 65535

_SO_ATTACH_FILTER = 26
"""Linux's option, which Python does not name."""
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the flags of a TCP header,
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # are compared with SYN alone:
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # or pass it on
)
"""A socket's filter: instructions of the classic BPF, each an operation, two jumps, a value."""


def bind_port(host: str, port: int) -> list[socket.socket]:
    """Bind every address of a host to a port; a port of 0 takes a free one.

    Raises:
        ConfigError: It cannot be bound, such as where another process listens; gives a fix.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, *_, address in dict.fromkeys(found):
            port = port or _free_port(family, address)
            try:
                bound.append(_bind(family, (address[0], port, *address[2:])))
            except OSError as error:
                if not bound or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
    except OSError as error:
        close_sockets(bound)
        raise ConfigError(_fault(host, port, error)) from error
    return bound


def share_port(held: list[socket.socket]) -> list[socket.socket]:
    """Bind the same addresses once more, for another worker: the kernel spreads connections."""
    shared = []
    for first in held:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.append(_bind(first.family, first.getsockname(), socket.SO_REUSEPORT))
    return shared


def close_sockets(sockets: list[socket.socket]) -> None:
    """Close this process's ends of sockets."""
    for one in sockets:
        one.close()


def url_of(sockets: list[socket.socket]) -> str:
    """The address that a browser on this machine opens."""
    host, port = sockets[0].getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def pause_listening(sockets: list[socket.socket]) -> None:
    """Refuse connections until a worker listens again; the port stays bound."""
    for one in sockets:
        with suppress(OSError):  # it does not listen yet
            one.shutdown(socket.SHUT_RD)


def ignore_new_connections(sockets: list[socket.socket]) -> bool:
    """Let the kernel drop whoever begins to connect from now on; whoever has begun gets through.

    A socket that closes resets the connections that it has not accepted, and one may always come
    after the last look at its queue. Whoever is dropped tries again by itself after a second, and
    is then refused. Every process that has the socket is concerned.

    Returns:
        Whether it is so; only Linux can.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in _DROP_SYN))
    option = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    try:
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError:
        return False
    return True


def _free_port(family: int, address: Any) -> int:
    """A free port. Only one that is bound by its number stays bound while nobody listens."""
    with socket.socket(family) as probe:
        probe.bind(address)
        port: int = probe.getsockname()[1]
        return port


def _bind(family: int, address: Any, *options: int) -> socket.socket:
    found = socket.socket(family)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_REUSEADDR, *options):
            found.setsockopt(socket.SOL_SOCKET, option, 1)
        found.bind(address)
        # From here on, a second server that reuses addresses cannot bind the port either, although
        # this one does not listen yet.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


def _fault(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < MAX_PORT else MAX_PORT - 1
        return f"Port {port} on {host} is in use. Take another one: vae serve --port {other}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights of root. Take another one: vae serve --port 8000."
    return (
        f"Cannot listen on {host} ({error.strerror}). Use an address of this machine: vae serve "
        "--host 127.0.0.1."
    )
