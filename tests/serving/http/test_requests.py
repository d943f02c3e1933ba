"""Requests to the application in the process of the test: answers, refusals, metrics."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import httpx2 as httpx
import pytest
from small_package import VALUES, expected, write_package
from starlette.testclient import TestClient

from acl_lightning.errors import UserError
from acl_lightning.serving import AdaptiveSession
from acl_lightning.serving.http import Limits, create_app

LIMITS = Limits(batch=4, queue=8, texts=6, characters=40, body_bytes=1000, body_seconds=0.2, wait_ms=0)


@pytest.fixture
def client(session):
    with TestClient(create_app(session, LIMITS)) as client:
        yield client


@asynccontextmanager
async def running(session, limits):
    """An asynchronous client of a running application."""
    app = create_app(session, limits)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=20) as client:
            yield client


def answer(text: str, **settings) -> dict:
    values = expected(text, **settings)
    return {**values, "confidence": pytest.approx(values["confidence"], abs=1e-6)}


def test_one_text_and_many_texts_are_answered(client):
    one = client.post("/predict", json={"texts": "w7 v2"})
    assert one.status_code == 200
    assert one.json() == {"operating_point": "certain", "predictions": [answer("w7 v2")]}
    texts = ["w30", "", "v40 w1", "w1", "unknown words"]
    assert client.post("/predict", json={"texts": texts}).json()["predictions"] == [answer(text) for text in texts]


def test_a_request_may_set_the_operating_point_and_ask_for_probabilities(client):
    body = {"texts": ["w7 v2"], "operating_point": "fast", "probabilities": True}
    content = client.post("/predict", json=body).json()
    (prediction,) = content["predictions"]
    assert (content["operating_point"], prediction["exit_layer"]) == ("fast", 1)
    positive = answer("w7 v2", threshold=0.0)["confidence"]
    assert prediction["probabilities"] == {"positive": positive, "negative": pytest.approx(1 - positive.expected)}
    full = client.post("/predict", json={"texts": "w30", "operating_point": "full_depth"}).json()
    assert full["predictions"][0]["exit_layer"] == 2


def test_pairs_are_answered(tmp_path):
    session = AdaptiveSession(write_package(tmp_path / "pairs", ("sentence1", "sentence2")))
    with TestClient(create_app(session)) as client:
        assert client.post("/predict", json={"texts": [["w1", "w2"], ["v3", ""]]}).status_code == 200
        refused = client.post("/predict", json={"texts": ["w1", "w2"]})
        assert refused.status_code == 422
        expected = "expected a pair of strings (sentence1, sentence2) as sample 0; found str. Pass a list of pairs: "
        assert refused.json()["detail"] == f'{expected}[["sentence1", "sentence2"], ...].'


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"texts": []}, 422, "expected 1 text or more as texts; found an empty list"),
        ({"texts": [1]}, 422, "expected a string as sample 0; found int"),
        ({"texts": ["w1", None]}, 422, "expected a string as sample 1; found NoneType"),
        ({"texts": [["w1", "w2"]]}, 422, "expected a string as sample 0; found list of 2"),
        ({"texts": {"a": 1}}, 422, "expected a string or a list of strings as texts; found dict"),
        (
            {},
            422,
            "expected a JSON object with texts, and optionally operating_point and probabilities; found no texts. Send",
        ),
        ({"texts": "w1", "point": "x"}, 422, "found a field 'point'. Send"),
        ({"texts": "w1", "probabilities": "yes"}, 422, "found probabilities: input should be a valid boolean"),
        (
            {"texts": "w1", "operating_point": "best"},
            422,
            "expected an operating point among: certain, fast, full_depth; found 'best'. Set the operating point",
        ),
        ({"texts": "w1", "operating_point": 3}, 422, "found operating_point: input should be a valid string"),
        ([1], 422, "expected a JSON object with texts, and optionally operating_point and probabilities; found a JSON"),
        ({"texts": ["w1"] * 7}, 413, "expected at most 6 texts in a request; found 7. Send several requests"),
        (
            {"texts": ["w1", "w" * 41]},
            413,
            "at most 40 characters in sample 1; found 41. Shorten it (the model reads 24",
        ),
        ({"texts": "w" * 1000}, 413, "expected a body of at most 1000 bytes; found 1012 or more"),
    ],
)
def test_a_mistake_is_refused_with_one_line(client, body, status, message):
    response = client.post("/predict", json=body)
    assert response.status_code == status
    assert message in response.json()["detail"]
    assert "\n" not in response.json()["detail"]
    assert client.post("/predict", json={"texts": "w7"}).json()["predictions"] == [answer("w7")]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b'{"texts": "\xff"}', 400, "expected a body in UTF-8; found the byte 0xff at position 11"),
        (b'{"texts": ', 400, "expected JSON; found Expecting value at position 10. Send"),
        (b"", 422, "found no body. Send"),
        (b"[" * 900, 400, "expected JSON; found Expecting value"),
        (
            b'{"texts": "a\\ud800"}',
            422,
            "expected Unicode text as sample 0; found the character '\\ud800' at position 1",
        ),
        (b'{"texts": "w1", "\\ud800": 1}', 422, "unable to parse raw data as a unicode string"),
        (b'{"texts": ' + b"1" * 900 + b"}", 422, "expected a string or a list of strings as texts; found int"),
    ],
)
def test_a_malformed_body_is_refused(client, content, status, message):
    response = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, message in response.json()["detail"]) == (status, True), response.text
    assert client.post("/predict", json={"texts": "w7"}).status_code == 200


def test_deeply_nested_json_is_refused(session):
    with TestClient(create_app(session)) as client:
        body = b'{"texts": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
        response = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in {400, 422}
        assert client.post("/predict", json={"texts": "w7"}).status_code == 200


def test_a_body_of_another_type_and_unknown_paths_are_refused(client):
    response = client.post("/predict", content=b'{"texts": "w1"}', headers={"Content-Type": "text/plain"})
    assert response.status_code == 415
    assert "expected the header Content-Type: application/json; found text/plain" in response.json()["detail"]
    for method, path, status in [("GET", "/predict", 405), ("GET", "/nothing", 404), ("POST", "/health", 405)]:
        response = client.request(method, path)
        assert (response.status_code, "allow" in response.headers) == (status, status == 405)
        expected = f"expected POST /predict, GET /health, GET /metrics or GET /docs; found {method} {path}."
        assert response.json()["detail"].startswith(expected)


def asgi_call(app, messages):
    """Send the messages of a client to the application; return what it sends."""
    sent = []

    async def call():
        remaining = iter(messages)

        async def receive():
            message = next(remaining, None)
            return await asyncio.sleep(10) if message is None else message

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "raw_path": b"/predict",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
            "root_path": "",
        }
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(call())
    return sent


def chunk(body: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_slow_body_is_refused_in_time(session):
    start, body = asgi_call(create_app(session, LIMITS), [chunk(b'{"texts"')])
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert "expected the whole body within 0.2 seconds; found 8 bytes" in json.loads(body["body"])["detail"]


def test_a_body_of_unannounced_size_is_refused_and_not_kept(session):
    start, body = asgi_call(create_app(session, LIMITS), [chunk(b"x" * 600)] * 100)
    assert start["status"] == 413
    assert "expected a body of at most 1000 bytes" in json.loads(body["body"])["detail"]


def test_a_client_that_disconnects_gets_no_answer(session):
    app = create_app(session, LIMITS)
    assert asgi_call(app, [chunk(b'{"te'), {"type": "http.disconnect"}]) == []


def test_texts_of_a_client_that_disconnected_are_not_computed(session, slow_session):
    async def scenario():
        async with running(slow_session, Limits(batch=1, wait_ms=0)) as client:
            first = asyncio.create_task(client.post("/predict", json={"texts": ["w1"] * 2}))
            await asyncio.sleep(0.01)
            app = client._transport.app
            body = json.dumps({"texts": ["w2"] * 30}).encode()
            messages = iter([chunk(body, more=False), {"type": "http.disconnect"}])

            async def receive():
                return next(messages)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/predict",
                "query_string": b"",
                "root_path": "",
                "headers": [(b"content-type", b"application/json")],
                "http_version": "1.1",
            }
            await app(scope, receive, lambda message: asyncio.sleep(0))
            last = await client.post("/predict", json={"texts": "w3"})
            metrics = (await client.get("/metrics")).text
            return (await first).status_code, last.status_code, metrics

    first, last, metrics = asyncio.run(scenario())
    assert (first, last) == (200, 200)
    computed = float(re.search(r"^acl_lightning_batch_texts_sum (.*)", metrics, re.MULTILINE)[1])
    assert computed == 3


def test_at_overload_every_request_is_answered_once_or_refused(slow_session):
    texts = [f"{'w' if n % 2 else 'v'}{1 + n % 40}" for n in range(60)]

    async def scenario():
        async with running(slow_session, Limits(batch=4, queue=12, texts=2, wait_ms=0)) as client:
            calls = [client.post("/predict", json={"texts": [text, "w1"]}) for text in texts]
            responses = await asyncio.gather(*calls)
            return responses, (await client.get("/metrics")).text

    responses, metrics = asyncio.run(scenario())
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 6
    for text, response in zip(texts, responses, strict=True):
        if response.status_code == 200:
            assert response.json()["predictions"] == [answer(text), answer("w1")]
        else:
            assert "expected free places in the queue; found" in response.json()["detail"]
            assert response.headers["Retry-After"] == "1"
    for status in (200, 429):
        assert f'acl_lightning_requests_total{{status="{status}"}} {statuses.count(status)}.0' in metrics


def test_concurrent_requests_are_computed_together(slow_session):
    async def scenario():
        async with running(slow_session, Limits(batch=16, wait_ms=0)) as client:
            calls = [client.post("/predict", json={"texts": f"w{n}"}) for n in range(1, 33)]
            responses = await asyncio.gather(*calls)
            return responses, (await client.get("/metrics")).text

    responses, metrics = asyncio.run(scenario())
    assert [response.json()["predictions"] for response in responses] == [[answer(f"w{n}")] for n in range(1, 33)]
    batches = float(re.search(r"^acl_lightning_batch_texts_count (.*)", metrics, re.MULTILINE)[1])
    assert 2 <= batches <= 6


def test_metrics_count_exit_layers_by_operating_point(client):
    client.post("/predict", json={"texts": ["w30", "w1", "w2"]})
    client.post("/predict", json={"texts": ["w1"], "operating_point": "fast"})
    client.post("/predict", json={"texts": 3})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    for line in (
        'acl_lightning_exit_layer_bucket{le="1.0",operating_point="certain"} 1.0',
        'acl_lightning_exit_layer_bucket{le="2.0",operating_point="certain"} 3.0',
        'acl_lightning_exit_layer_bucket{le="1.0",operating_point="fast"} 1.0',
        'acl_lightning_requests_total{status="200"} 2.0',
        'acl_lightning_requests_total{status="422"} 1.0',
        "acl_lightning_request_seconds_count 2.0",
        'acl_lightning_batch_texts_bucket{le="1.0"} 1.0',
        'acl_lightning_batch_texts_bucket{le="4.0"} 2.0',
        "acl_lightning_waiting_texts 0.0",
    ):
        assert line in lines


def test_health_and_the_openapi_page_describe_the_service(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "task": "sums",
        "precision": "fp32",
        "operating_point": "certain",
        "operating_points": ["certain", "fast", "full_depth"],
        "waiting": 0,
    }
    schema = client.get("/openapi.json").json()
    assert {"/predict", "/health", "/metrics"} <= set(schema["paths"])
    assert {"200", "400", "408", "413", "415", "422", "429", "503"} == set(
        schema["paths"]["/predict"]["post"]["responses"]
    )
    assert client.get("/docs").status_code == 200


def test_values_that_are_not_finite_are_null(client, session, monkeypatch):
    import numpy as np

    from acl_lightning.serving.answers import answers_of

    layer_E, logits_BC = np.array([1, 2]), np.array([[np.nan, 1.0]], np.float32)
    broken = answers_of(logits_BC, np.array([1]), layer_E, ("negative", "positive"), None)
    monkeypatch.setattr(session, "decide", lambda *_, **__: broken)
    (prediction,) = client.post("/predict", json={"texts": "w1", "probabilities": True}).json()["predictions"]
    nothing = {"negative": None, "positive": None}
    assert prediction == {"label": None, "confidence": None, "exit_layer": 2, "probabilities": nothing}


def test_a_defect_is_answered_by_500_and_does_not_stop_the_service(session, monkeypatch):
    decide = session.decide
    app = create_app(session, LIMITS)
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr(session, "decide", lambda *_, **__: 1 / 0)
        assert client.post("/predict", json={"texts": "w1"}).status_code == 500
        monkeypatch.setattr(session, "decide", decide)
        assert client.post("/predict", json={"texts": "w1"}).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "expected a positive number as --batch; found 0. Set --batch 32."),
        ({"body_seconds": float("nan")}, "a positive number as --body-seconds; found nan"),
        ({"wait_ms": -1}, "a positive number as --wait-ms; found -1"),
        ({"texts": 300}, "a queue of at least 300 texts, the largest request; found 256. Set --queue 300 or more"),
    ],
)
def test_limits_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Limits(**settings)


def test_the_vocabulary_of_the_package_has_both_signs():
    assert min(VALUES.values()) == -max(VALUES.values()) == -4.0
