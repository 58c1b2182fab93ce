"""Runs the page as a server."""

from collections.abc import Sequence

import uvicorn

from labeling.page.app import LOCAL_HOSTS, create_app
from labeling.store.database import FeedbackStore


def serve(
    store_url: str, host: str = "127.0.0.1", port: int = 8300, allowed_hosts: Sequence[str] = LOCAL_HOSTS
) -> None:
    """Serves the labelers' page until it is stopped (Ctrl-C); the log's first lines name its address.

    Only this machine can reach the default address. For others to reach it, put a proxy with HTTPS in front that keeps the
    Host header, and name that host in `allowed_hosts`. Raises ConfigError for a store that cannot be opened.
    """
    store = FeedbackStore(store_url)
    try:
        uvicorn.Server(server_config(store, host, port, allowed_hosts)).run()
    finally:
        store.close()


def server_config(store: FeedbackStore, host: str, port: int, allowed_hosts: Sequence[str]) -> uvicorn.Config:
    """How uvicorn runs the page. Forwarded addresses are not believed: whoever sends one could escape the sign-in limit."""
    return uvicorn.Config(
        create_app(store, allowed_hosts),
        host=host,
        port=port,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=10,
    )
