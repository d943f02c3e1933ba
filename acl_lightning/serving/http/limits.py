"""Limits of the HTTP service."""

from __future__ import annotations

from dataclasses import dataclass, fields

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Limits of the HTTP service. A request beyond them is refused at once and costs other requests nothing.

    Attributes:
        batch: Largest number of texts that are computed together.
        wait_ms: Longest time in milliseconds that a text waits for others while the model is idle.
        queue: Largest number of texts that wait, over all requests; a request that does not fit is answered by 429.
        texts: Largest number of texts of a request; else 413.
        characters: Largest number of characters of a text; else 413.
        body_bytes: Largest size of the body of a request; else 413.
        body_seconds: Longest time in which the body of a request has to arrive; else 408.
        connections: Largest number of open connections; further ones are answered by 503.
        shutdown_seconds: Longest time in which accepted requests are answered after SIGTERM or Ctrl-C.

    Raises:
        UserError: A limit is not positive, or the queue is shorter than a request may be.
    """

    batch: int = 32
    wait_ms: float = 2.0
    queue: int = 256
    texts: int = 64
    characters: int = 20_000
    body_bytes: int = 1_048_576
    body_seconds: float = 10.0
    connections: int = 512
    shutdown_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            zero = field.name == "wait_ms"
            if not (value >= 0 if zero else value > 0):
                option = f"--{field.name.replace('_', '-')}"
                expected = f"{'0 or a' if zero else 'a'} positive number as {option}"
                raise UserError(expected, f"{value:g}", f"Set {option} {field.default:g}.")
        if self.texts > self.queue:
            raise UserError(
                f"a queue of at least {self.texts} texts, the largest request",
                f"{self.queue}",
                f"Set --queue {self.texts} or more, or --texts {self.queue} or less.",
            )
