"""Dynamic batching: texts of concurrent requests are computed together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from acl_lightning.serving.adaptive import AdaptiveSession
from acl_lightning.serving.answers import Answers
from acl_lightning.serving.tokens import Text


class QueueFullError(Exception):
    """The texts of a request do not fit into the queue.

    Args:
        waiting: Number of texts that wait.
        limit: Largest number of texts that may wait.
    """

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting, self.limit = waiting, limit
        super().__init__(f"{waiting} of {limit} places in the queue are taken")


class ClosedError(Exception):
    """The service is shutting down and accepts nothing further."""


@dataclass(frozen=True)
class BatchReport:
    """Texts that were computed together.

    Attributes:
        operating_point: Name of the operating point.
        seconds: Time of tokenisation and inference.
        answers: Answers.
    """

    operating_point: str
    seconds: float
    answers: Answers


@dataclass(eq=False)
class _Job:
    """Texts of a request, and the answers so far.

    Attributes:
        texts: Texts.
        operating_point: Name of the operating point.
        arrived: Time of arrival.
        future: Receives the answers, in parts.
        num_taken: Number of texts that were taken from the queue.
        parts: Answers of the texts that were computed.
    """

    texts: Sequence[Text]
    operating_point: str
    arrived: float
    future: Future[tuple[Answers, ...]] = field(default_factory=Future)
    num_taken: int = 0
    parts: list[Answers] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """Consecutive texts of a job that are computed in the same batch."""

    job: _Job
    texts: Sequence[Text]


class Batcher:
    """A queue of texts and a thread that computes them in batches, in the order of arrival.

    A batch is computed as soon as it is full, or when its oldest text has waited for `wait_seconds`; while the model is
    busy, texts gather without any further waiting. Texts of a batch are sorted by length; those at different operating
    points are computed one point after the other. A request with more texts than a batch is spread over several.

    Args:
        session: Package that answers; usable by other threads at the same time.
        batch: Largest number of texts in a batch.
        wait_seconds: Longest time that a text waits for others while the model is idle.
        queue: Largest number of texts that wait.
        report: Called with every batch, from the thread.
    """

    def __init__(
        self,
        session: AdaptiveSession,
        *,
        batch: int = 32,
        wait_seconds: float = 0.002,
        queue: int = 256,
        report: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self.session = session
        self.batch, self.wait_seconds, self.queue = batch, wait_seconds, queue
        self._report = report
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)

    @property
    def waiting(self) -> int:
        """Number of texts that wait."""
        return self._waiting

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop_waiting(self) -> None:
        """Compute from now on without waiting for further texts, as before a shutdown."""
        with self._changed:
            self.wait_seconds = 0.0
            self._changed.notify()

    def close(self) -> None:
        """Accept nothing further, answer what was accepted, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def submit(self, texts: Sequence[Text], operating_point: str) -> Future[tuple[Answers, ...]]:
        """Accept all texts of a request, or none.

        Args:
            texts: One valid text or more (`session.encoder.check`).
            operating_point: Name of an operating point of the package.

        Returns:
            Future with the answers in the order of the texts, in parts. If it is cancelled, texts that still wait are
            not computed.

        Raises:
            QueueFullError: The texts do not fit into the queue.
            ClosedError: `close` was called.
        """
        job = _Job(texts, operating_point, time.monotonic())
        with self._changed:
            if self._closed:
                raise ClosedError
            if self._waiting + len(texts) > self.queue:
                raise QueueFullError(self._waiting, self.queue)
            self._jobs.append(job)
            self._waiting += len(texts)
            self._changed.notify()
        job.future.add_done_callback(lambda future: self._remove(job) if future.cancelled() else None)
        return job.future

    def _remove(self, job: _Job) -> None:
        """Remove a job that was cancelled from the queue."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.texts) - job.num_taken

    def _run(self) -> None:
        while True:
            parts = self._next_batch()
            if parts is None:
                return
            points = dict.fromkeys(part.job.operating_point for part in parts)
            for point in points:
                self._compute(point, [part for part in parts if part.job.operating_point == point])

    def _next_batch(self) -> list[_Part] | None:
        """Wait for texts and take a batch of them from the queue; None after `close`, when the queue is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return None
            arrived = self._jobs[0].arrived
            while not self._is_full() and (seconds := arrived + self.wait_seconds - time.monotonic()) > 0:
                self._changed.wait(seconds)
            parts: list[_Part] = []
            room = self.batch
            while self._jobs and room:
                job = self._jobs[0]
                texts = job.texts[job.num_taken : job.num_taken + room]
                parts.append(_Part(job, texts))
                job.num_taken += len(texts)
                room -= len(texts)
                self._waiting -= len(texts)
                if job.num_taken == len(job.texts):
                    self._jobs.popleft()
            return parts

    def _is_full(self) -> bool:
        return self._waiting >= self.batch or self._closed

    def _compute(self, point: str, parts: Sequence[_Part]) -> None:
        """Compute parts at one operating point; a failure is handed to the requests of these parts only."""
        texts = [text for part in parts for text in part.texts]
        started = time.perf_counter()
        try:
            tokens = self.session.encoder(texts)
            answers = self.session.decide(tokens, operating_point=point, mode="throughput")
            if self._report is not None:
                self._report(BatchReport(point, time.perf_counter() - started, answers))
        except Exception as error:
            for part in parts:
                self._remove(part.job)
                if part.job.future.set_running_or_notify_cancel():
                    part.job.future.set_exception(error)
            return
        start = 0
        for part in parts:
            stop = start + len(part.texts)
            _complete(part, _rows(answers, start, stop))
            start = stop


def _complete(part: _Part, answers: Answers) -> None:
    """Add the answers of a part; set the result of its request if it was the last part."""
    job = part.job
    job.parts.append(answers)
    if sum(map(len, job.parts)) == len(job.texts) and job.future.set_running_or_notify_cancel():
        job.future.set_result(tuple(job.parts))


def _rows(answers: Answers, start: int, stop: int) -> Answers:
    return Answers(
        answers.labels[start:stop],
        answers.probabilities[start:stop],
        answers.exit_layers[start:stop],
        answers.logits[start:stop],
    )
