"""A port of this machine that nobody listens on."""

import socket


def free_port() -> int:
    """Free a moment ago; another program could take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
