"""Loopback ports: which are free."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def is_taken(port: int) -> bool:
    """Whether something listens on (or otherwise holds) this loopback TCP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A port in TIME_WAIT is free for a server; a listener's is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def free_ports(count: int, *, besides: int = 0) -> list[int]:
    """Choose distinct free loopback ports, none of them `besides`.

    They are all held until the last is chosen, so none is given twice. Another program may take
    one before its part does; the part's health check then says so.
    """
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count + 1)]
    try:
        for probe in held:
            probe.bind((LOOPBACK, 0))
        chosen = [int(probe.getsockname()[1]) for probe in held]
        return [port for port in chosen if port != besides][:count]
    finally:
        for probe in held:
            probe.close()
