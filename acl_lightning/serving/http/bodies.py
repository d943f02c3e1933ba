"""ASGI middleware that reads the body of a request before the application sees the request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acl_lightning.errors import UserError

#: A body that is too large is read and dropped up to this multiple of the limit, so that a client that sends before it
#: reads gets the message instead of a reset connection.
DROPPED = 4


class RequestBodies:
    """Middleware that bounds size and time of a request's body, and requires UTF-8.

    Answers 413 to a larger body, 408 to a body that arrives too slowly, and 400 to a body that is not UTF-8. A body
    that is too large is not kept in memory. If a client disconnects before the end of the body, the application does
    not see its request.

    Args:
        app: Application.
        max_bytes: Largest size of a body.
        seconds: Longest time in which a body has to arrive.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self.app, self.max_bytes, self.seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                size = await self._read(scope, receive, body)
        except TimeoutError:
            problem = UserError(
                f"the whole body within {self.seconds:g} seconds", f"{len(body)} bytes", "Send it faster."
            )
            await _refuse(408, problem, scope, receive, send)
            return
        if size is None:
            return
        if size > self.max_bytes:
            remedy = f"Send several requests, or start the service with --body-bytes {size}."
            problem = UserError(f"a body of at most {self.max_bytes} bytes", f"{size} or more", remedy)
            await _refuse(413, problem, scope, receive, send)
            return
        try:
            body.decode()
        except UnicodeDecodeError as error:
            byte = f"the byte 0x{body[error.start]:02x} at position {error.start}"
            problem = UserError("a body in UTF-8", byte, "Encode the JSON text as UTF-8.")
            await _refuse(400, problem, scope, receive, send)
            return
        await self.app(scope, _Replay(bytes(body), receive), send)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> int | None:
        """Read a body; return its size, as far as it was read or announced; None if the client disconnected."""
        announced = next(_content_length(scope), 0)
        size = 0
        while size <= DROPPED * self.max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if max(size, announced) <= self.max_bytes:
                body += chunk
            else:
                body.clear()
            if not message.get("more_body", False):
                break
        return max(size, announced)


class _Replay:
    """`receive` of a request whose body was read."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the body, then what the server reports: that the client disconnected."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _content_length(scope: Scope) -> Iterator[int]:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            yield int(value)


async def _refuse(status: int, problem: UserError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a message and close the connection, on which the rest of the body may follow."""
    await JSONResponse({"detail": str(problem)}, status, {"Connection": "close"})(scope, receive, send)
