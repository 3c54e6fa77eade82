"""The port: held before anything listens, shared by workers, refused in words."""

import errno
import select
import socket
import sys

import pytest

from app.serving import ports
from app.serving.ports import (
    bind_port,
    close_sockets,
    ignore_new_connections,
    pause_listening,
    share_port,
    url_of,
)
from models.errors import ConfigError


def test_a_bound_port_is_held_although_nobody_listens_yet() -> None:
    held = bind_port("127.0.0.1", 0)
    port = held[0].getsockname()[1]
    with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use."):
        bind_port("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    shared = share_port(held)
    with pytest.raises(ConfigError, match="in use"):
        bind_port("127.0.0.1", port)
    close_sockets([*held, *shared])
    close_sockets(bind_port("127.0.0.1", port))


def test_a_socket_that_pauses_refuses_and_may_listen_again() -> None:
    held = bind_port("127.0.0.1", 0)
    address = held[0].getsockname()
    pause_listening(held)  # it does not listen yet
    for _ in range(2):
        held[0].listen()
        socket.create_connection(address).close()
        pause_listening(held)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with pytest.raises(ConfigError):
            bind_port(*address)
    close_sockets(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what comes to a port")
def test_a_port_that_ignores_new_connections_resets_none_when_it_closes() -> None:
    held = bind_port("127.0.0.1", 0)
    held[0].listen()
    address = held[0].getsockname()
    with socket.create_connection(address) as begun, socket.socket() as late:
        assert ignore_new_connections(held)
        late.setblocking(False)
        assert late.connect_ex(address) == errno.EINPROGRESS
        begun.sendall(b"question")
        accepted, _ = held[0].accept()
        with pytest.raises(BlockingIOError):
            held[0].accept()
        close_sockets(held)
        with accepted:
            assert accepted.recv(8) == b"question"
            accepted.sendall(b"answer")
            assert begun.recv(6) == b"answer"
        assert select.select([], [late], [], 60)[1]  # its second try, a second later
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_a_port_that_cannot_ignore_new_connections_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    held = bind_port("127.0.0.1", 0)
    close_sockets(held)
    assert not ignore_new_connections(held)
    monkeypatch.setattr(ports.sys, "platform", "darwin")
    assert not ignore_new_connections([])


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1"), ("0.0.0.0", "http://127.0.0.1"), ("::", "http://[::1]")],
)
def test_the_address_is_one_that_a_browser_opens(host: str, url: str) -> None:
    if host == "::" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    held = bind_port(host, 0)
    assert url_of(held) == f"{url}:{held[0].getsockname()[1]}"
    close_sockets(held)


def test_every_address_of_a_host_is_bound_that_this_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = (socket.SOCK_STREAM, 6, "")
    found = [
        (socket.AF_INET, *stream, ("127.0.0.1", 0)),
        (socket.AF_INET, *stream, ("127.0.0.2", 0)),
        (socket.AF_INET, *stream, ("192.0.2.1", 0)),  # of another machine
    ]
    monkeypatch.setattr(ports.socket, "getaddrinfo", lambda *_, **__: found)
    held = bind_port("localhost", 0)
    assert [one.getsockname()[0] for one in held] == ["127.0.0.1", "127.0.0.2"]
    assert len({one.getsockname()[1] for one in held}) == 1
    close_sockets(held)


@pytest.mark.parametrize("number", [13, 98])
def test_what_is_wrong_with_a_second_address_is_said(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    bind = ports._bind

    def refuse_second(family: int, address: tuple[str, int], *options: int) -> socket.socket:
        if address[0] != "127.0.0.1":
            raise OSError(number, "refused")
        return bind(family, address, *options)

    stream = (socket.SOCK_STREAM, 6, "")
    found = [(socket.AF_INET, *stream, (host, 80)) for host in ("127.0.0.1", "127.0.0.2")]
    found[0] = (socket.AF_INET, *stream, ("127.0.0.1", 0))
    monkeypatch.setattr(ports.socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(ports, "_bind", refuse_second)
    with pytest.raises(ConfigError, match=r"needs rights of root|is in use"):
        bind_port("localhost", 0)


def test_the_highest_port_has_a_lower_one_for_its_fix() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        with pytest.raises(ConfigError, match=r"vae serve --port 65534\."):
            bind_port("127.0.0.1", 65535)
