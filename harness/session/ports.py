"""Ports of 127.0.0.1 that servers of this package listen on."""

import socket

from saat.errors import InputError


def check_port(port: int) -> None:
    """Refuse a port that is taken, or that only root may use.

    Raises:
        InputError: it is; the line names a free one.
    """
    with socket.socket() as wanted, socket.socket() as other:
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            wanted.bind(("127.0.0.1", port))
        except OSError as error:
            other.bind(("127.0.0.1", 0))
            free = other.getsockname()[1]
            raise InputError(
                f"--port {port}: {error.strerror}; another one, for example --port {free}"
            ) from None
