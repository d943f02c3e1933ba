"""Server of the HTTP application: its socket, and its end by a signal."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from acl_lightning.errors import UserError
from acl_lightning.serving.http.limits import Limits


class _Server(uvicorn.Server):
    """Server that SIGTERM and Ctrl-C end after all answers; at the second signal it ends at once.

    uvicorn's own would raise the signal again afterwards, so that the process would not end with exit code 0.

    Args:
        config: Settings of uvicorn.
        stop_waiting: Called at the beginning of the shutdown.
    """

    def __init__(self, config: uvicorn.Config, stop_waiting: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop_waiting = stop_waiting

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop_waiting()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and queues connections.

    Args:
        host: Name or address of an interface, such as `127.0.0.1`.
        port: Port; 0: any free port.

    Raises:
        UserError: The port is taken or not allowed, or the machine has no such address.
    """
    if not 0 <= port <= 65535:
        raise UserError("a port between 0 and 65535", f"{port}", "Set --port 8000, or --port 0 for any free port.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        of_port = error.errno in {errno.EADDRINUSE, errno.EACCES}
        reason = error.strerror or str(error)
        remedy = (
            "Set another --port (--port 0: any free port)."
            if of_port
            else "Set --host 127.0.0.1 (this machine only), or --host 0.0.0.0 (every interface)."
        )
        raise UserError(f"to listen on {host}, port {port}", reason.partition(" (while")[0], remedy) from error
    bound.setblocking(False)
    return bound


def run_server(app: FastAPI, bound: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or Ctrl-C; answer what was accepted, then return.

    Args:
        app: Return value of `create_app`.
        bound: Return value of `listen`. It is closed at the end.
        limits: Limits of connections and of the time for the last answers.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        http="h11",  # httptools is a little faster, but has no limit for headers
        lifespan="on",
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=round(limits.shutdown_seconds),
        h11_max_incomplete_event_size=65536,
    )
    with bound:
        _Server(config, app.state.stop_waiting).run(sockets=[bound])
