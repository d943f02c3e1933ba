"""Batches are formed in order and in bounds, answers reach their requests, and closing answers what was accepted."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_package import expected

from acl_lightning.serving.http import Batcher, ClosedError, QueueFullError


@pytest.fixture
def reports() -> list:
    return []


@pytest.fixture
def held(session, monkeypatch) -> threading.Event:
    """The session waits in every call until the event is set."""
    event, decide = threading.Event(), session.decide

    def wait_and_decide(*arguments, **settings):
        assert event.wait(10)
        return decide(*arguments, **settings)

    monkeypatch.setattr(session, "decide", wait_and_decide)
    return event


def started(session, **settings) -> Batcher:
    batcher = Batcher(session, **settings)
    batcher.start()
    return batcher


def taken(batcher: Batcher) -> None:
    """Wait until the queue is empty."""
    deadline = time.monotonic() + 10
    while batcher.waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    assert batcher.waiting == 0


def labels(future) -> list[str]:
    return [label for part in future.result(10) for label in part.labels]


def test_texts_that_arrive_while_the_model_is_busy_are_computed_together(session, held, reports):
    batcher = started(session, batch=4, wait_seconds=0, report=reports.append)
    first = batcher.submit(["w1"], "certain")
    taken(batcher)
    others = [batcher.submit([text], "certain") for text in ("w2", "v2", "w3 w4", "v9", "w5")]
    held.set()
    batcher.close()
    assert [labels(future) for future in (first, *others)] == [
        [expected(t)["label"]] for t in ("w1", "w2", "v2", "w3", "v9", "w5")
    ]
    assert [len(report.answers) for report in reports] == [1, 4, 1]


def test_a_text_waits_for_others_at_most_for_the_time_that_is_set(session, reports):
    batcher = started(session, batch=2, wait_seconds=0.05, report=reports.append)
    begin = time.monotonic()
    assert labels(batcher.submit(["w1"], "certain")) == ["positive"]
    assert time.monotonic() - begin >= 0.05
    begin = time.monotonic()
    both = [batcher.submit([text], "certain") for text in ("w1", "v1")]
    assert [labels(future) for future in both] == [["positive"], ["negative"]]
    batcher.close()
    assert [len(report.answers) for report in reports] == [1, 2]


def test_a_request_with_more_texts_than_a_batch_is_answered_in_order(session, reports):
    texts = [f"{'w' if n % 3 else 'v'}{n}" for n in range(1, 11)]
    batcher = started(session, batch=4, wait_seconds=0, report=reports.append)
    future = batcher.submit(texts, "certain")
    assert labels(future) == [expected(text)["label"] for text in texts]
    batcher.close()
    assert [len(report.answers) for report in reports] == [4, 4, 2]


def test_requests_at_different_operating_points_share_a_queue(session, held, reports):
    batcher = started(session, batch=8, wait_seconds=0, report=reports.append)
    first = batcher.submit(["w1"], "fast")
    taken(batcher)
    futures = [batcher.submit(["w1"], point) for point in ("certain", "fast", "certain")]
    held.set()
    layers = [future.result(10)[0].exit_layers.tolist() for future in (first, *futures)]
    batcher.close()
    assert layers == [[1], [2], [1], [2]]
    assert [(report.operating_point, len(report.answers)) for report in reports[1:]] == [("certain", 2), ("fast", 1)]


def test_a_full_queue_refuses_whole_requests_and_has_room_again(session, held):
    batcher = started(session, batch=2, wait_seconds=0, queue=3)
    first = batcher.submit(["w1"], "certain")
    taken(batcher)
    accepted = batcher.submit(["w1", "v1"], "certain")
    with pytest.raises(QueueFullError, match="2 of 3"):
        batcher.submit(["w1", "v1"], "certain")
    held.set()
    assert labels(accepted) == ["positive", "negative"]
    assert labels(batcher.submit(["w1", "v1", "w2"], "certain")) == ["positive", "negative", "positive"]
    batcher.close()
    assert labels(first) == ["positive"]


def test_a_cancelled_request_leaves_the_queue(session, held, reports):
    batcher = started(session, batch=4, wait_seconds=0, queue=4, report=reports.append)
    first = batcher.submit(["w1"], "certain")
    taken(batcher)
    abandoned = batcher.submit(["w1"] * 4, "certain")
    assert abandoned.cancel()
    assert batcher.waiting == 0
    kept = batcher.submit(["v1", "w1"], "certain")
    held.set()
    assert labels(kept) == ["negative", "positive"]
    batcher.close()
    assert labels(first) == ["positive"]
    assert [len(report.answers) for report in reports] == [1, 2]


def test_a_failure_reaches_the_requests_of_its_batch_only(session, monkeypatch):
    decide = session.decide

    def fail_for_long_texts(tokens, **settings):
        if max(tokens.lengths) > 3:
            raise RuntimeError("no memory")
        return decide(tokens, **settings)

    monkeypatch.setattr(session, "decide", fail_for_long_texts)
    batcher = started(session, batch=1, wait_seconds=0)
    good, bad, other = (batcher.submit([text], "certain") for text in ("w1", "w1 w1 w1 w1", "v1"))
    with pytest.raises(RuntimeError, match="no memory"):
        bad.result(10)
    assert labels(good) + labels(other) == ["positive", "negative"]
    batcher.close()
    assert batcher.waiting == 0


def test_closing_answers_what_was_accepted_and_refuses_the_rest(session, held):
    batcher = started(session, batch=2, wait_seconds=60)
    futures = [batcher.submit([f"w{n}", f"v{n}"], "certain") for n in range(1, 6)]
    held.set()
    batcher.close()
    assert [future.done() for future in futures] == [True] * 5
    assert [labels(future) for future in futures] == [["positive", "negative"]] * 5
    with pytest.raises(ClosedError):
        batcher.submit(["w1"], "certain")


def test_under_overload_every_request_is_answered_once_or_refused(slow_session):
    batcher = started(slow_session, batch=8, wait_seconds=0.001, queue=24)
    texts = [f"{'w' if n % 2 else 'v'}{1 + n % 40}" for n in range(120)]

    def request(text: str) -> dict | None:
        try:
            (answers,) = batcher.submit([text], "certain").result(10)
        except QueueFullError:
            return None
        return {
            "label": answers.labels[0],
            "confidence": pytest.approx(answers.confidences[0]),
            "exit_layer": answers.exit_layers[0],
        }

    with ThreadPoolExecutor(60) as clients:
        results = list(clients.map(request, texts))
    batcher.close()
    answered = [(text, result) for text, result in zip(texts, results, strict=True) if result is not None]
    assert all(expected(text) == result for text, result in answered)
    assert 24 <= len(answered) < 120
