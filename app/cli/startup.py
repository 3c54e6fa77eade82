"""Checks of the settings before any model is loaded: repository, default model, device, port."""

import errno
import socket

import torch

from app.settings import Settings
from models.errors import closest
from vae_client.errors import CallError

MAX_PORT = 65535


def check_settings(settings: Settings) -> None:
    """Check that the models' folder, the default model and the device exist.

    Raises:
        CallError: One of them does not; names the setting, its value and a fix.
    """
    _check_repository(settings)
    _check_device(settings.device)


def _check_repository(settings: Settings) -> None:
    folder = settings.model_repository
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "does not exist"
        raise CallError(
            f"VAE_MODEL_REPOSITORY={folder} {fault}. Set it to a folder of bundles, "
            "<model>/<version>/, or unset it for the models that come with this project."
        )
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    wanted = settings.default_model
    if wanted is not None and names and wanted not in names:
        meant = closest(wanted, names)
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise CallError(
            f"VAE_DEFAULT_MODEL={wanted} names no model here. {hint}Available: {', '.join(names)}."
        )


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CallError(
            f"VAE_DEVICE={name} is not a torch device, such as cpu or cuda:0. Use VAE_DEVICE=cpu."
        ) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CallError(
            f"VAE_DEVICE={name} is not available on this machine. Use VAE_DEVICE=cpu."
        ) from error


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
