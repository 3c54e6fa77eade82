"""Checks before any model is loaded: repository, default model, device, and the port."""

import errno
import socket

from app.main import check_settings
from vae_client.errors import CallError

__all__ = ["check_port", "check_settings"]

MAX_PORT = 65535


def check_port(host: str, port: int) -> None:
    """Check that this process can listen on a port.

    Raises:
        CallError: It cannot, such as where another process listens there; gives a fix.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CallError(_port_fault(host, port, error)) from error


def _port_fault(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < MAX_PORT else MAX_PORT - 1
        return f"Port {port} on {host} is in use. Take another one: vae serve --port {other}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights of root. Take another one: vae serve --port 8000."
    return (
        f"Cannot listen on {host} ({error.strerror}). Use an address of this machine: vae serve "
        "--host 127.0.0.1."
    )
