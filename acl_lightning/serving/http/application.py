"""FastAPI application that answers with an `AdaptiveSession`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from acl_lightning.errors import UserError
from acl_lightning.serving.adaptive import AdaptiveSession
from acl_lightning.serving.http.batching import Batcher, ClosedError, QueueFullError
from acl_lightning.serving.http.bodies import RequestBodies
from acl_lightning.serving.http.limits import Limits
from acl_lightning.serving.http.messages import (
    Health,
    PredictRequest,
    PredictResponse,
    Problem,
    TooLargeError,
    predictions,
    texts_of,
)
from acl_lightning.serving.http.metrics import RequestMetrics, ServiceMetrics
from acl_lightning.serving.manifest import FULL_DEPTH

_DESCRIPTION = "Classify texts with a multi-exit encoder: each leaves at the first exit that is certain enough."

#: Remedy for a body that cannot be read.
_EXAMPLE = 'Send {"texts": ["..."]}.'

#: Status -> cause of the refusals of `/predict`, for the OpenAPI page.
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body is not JSON in UTF-8.",
        408: "The body arrives too slowly.",
        413: "The body, a text or the list of texts is too large.",
        415: "The header Content-Type is not application/json.",
        422: "A value is not a text, or there is no such operating point.",
        429: "The queue is full. Repeat the request after the time in the header Retry-After.",
        503: "The service is shutting down, or there are too many connections.",
    }.items()
}


class _Service:
    """State of an application: session, queue, limits and metrics."""

    def __init__(self, session: AdaptiveSession, limits: Limits) -> None:
        self.session, self.limits = session, limits
        exit_layers = session.manifest.exit_layers
        self.metrics = ServiceMetrics(exit_layers, limits.batch, lambda: self.batcher.waiting)
        self.batcher = Batcher(
            session,
            batch=limits.batch,
            wait_seconds=limits.wait_ms / 1000,
            queue=limits.queue,
            report=self.metrics.record_batch,
        )

    def warm_up(self) -> None:
        """Load what the session loads at its first answer, so that the first request does not wait for it."""
        self.session([""] if len(self.session.manifest.text_columns) == 1 else [("", "")])

    async def predict(self, body: PredictRequest, request: Request) -> Response:
        """Answer a request, unless the client disconnects first."""
        point = body.operating_point or self.session.operating_point
        if point != FULL_DEPTH:
            self.session.manifest.point(point)
        texts = texts_of(body, self.session.encoder, self.limits)
        future = asyncio.wrap_future(self.batcher.submit(texts, point))
        disconnected = asyncio.ensure_future(_disconnection(request))
        try:
            await asyncio.wait((future, disconnected), return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                return Response(status_code=499)  # nobody reads it
            names = self.session.manifest.label_names
            rows = predictions(future.result(), names, probabilities=body.probabilities)
            return JSONResponse({"operating_point": point, "predictions": rows})
        finally:
            disconnected.cancel()
            future.cancel()

    def health(self) -> Health:
        """Describe the service."""
        manifest = self.session.manifest
        return Health(
            status="ok",
            task=str(manifest.content.get("task", "")),
            precision=str(manifest.content.get("precision", "")),
            operating_point=self.session.operating_point,
            operating_points=[*manifest.points, FULL_DEPTH],
            waiting=self.batcher.waiting,
        )


def create_app(session: AdaptiveSession, limits: Limits | None = None) -> FastAPI:
    """Return the application for a package.

    `POST /predict` answers texts, `GET /health` describes the service, `GET /metrics` has the metrics of Prometheus
    (`ServiceMetrics`), `GET /docs` and `/openapi.json` describe the requests. Concurrent requests are computed together
    (`Batcher`). At shutdown everything that was accepted is answered.

    Args:
        session: Package. Its operating point is used for requests that name none.
        limits: Limits; None: the defaults.

    Example:
        ::

            from acl_lightning.serving import AdaptiveSession
            from acl_lightning.serving.http import create_app

            app = create_app(AdaptiveSession("DIR", operating_point="drop1"))  # uvicorn module:app
    """
    service = _Service(session, limits or Limits())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.warm_up)
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.close)

    version = str((session.manifest.content.get("versions") or {}).get("acl_lightning", "0"))
    task = session.manifest.content.get("task", "package")
    app = FastAPI(
        title=f"acl_lightning: {task}",
        description=_DESCRIPTION,
        version=version,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.stop_waiting = service.batcher.stop_waiting
    app.add_middleware(RequestBodies, max_bytes=service.limits.body_bytes, seconds=service.limits.body_seconds)
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    _add_refusals(app)

    @app.post("/predict", response_model=PredictResponse, responses=_REFUSALS, summary="Classify texts")
    async def predict(body: PredictRequest, request: Request) -> Response:
        return await service.predict(body, request)

    @app.get("/health", summary="State of the service")
    async def health() -> Health:
        return service.health()

    @app.get("/metrics", summary="Metrics in the text format of Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app


def _add_refusals(app: FastAPI) -> None:
    """Answer mistakes with a status and one line `expected ...; found .... Remedy.`."""

    @app.exception_handler(UserError)
    async def refuse_value(_: Request, error: UserError) -> Response:
        return _refusal(422, str(error))

    @app.exception_handler(TooLargeError)
    async def refuse_size(_: Request, error: TooLargeError) -> Response:
        return _refusal(413, str(error))

    @app.exception_handler(QueueFullError)
    async def refuse_load(_: Request, error: QueueFullError) -> Response:
        occupied = f"{error.waiting} of {error.limit} occupied"
        problem = UserError(
            "free places in the queue", occupied, "Repeat the request later, or send fewer texts at once."
        )
        return _refusal(429, str(problem), {"Retry-After": "1"})

    @app.exception_handler(ClosedError)
    async def refuse_at_shutdown(_: Request, __: ClosedError) -> Response:
        problem = UserError("a running service", "one that is shutting down", "Send the request to another instance.")
        return _refusal(503, str(problem), {"Connection": "close"})

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> Response:
        paths = "POST /predict, GET /health, GET /metrics or GET /docs"
        problem = UserError(paths, f"{request.method} {request.url.path}", "Send another request.")
        return _refusal(error.status_code, str(problem), error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        kind = request.headers.get("content-type", "none")
        if "json" not in kind:
            return _refusal(415, str(UserError("the header Content-Type: application/json", kind, "Set this header.")))
        if first["type"] == "json_invalid":
            mistake = f"{first['ctx']['error']} at position {first['loc'][-1]}"
            return _refusal(400, str(UserError("JSON", mistake, _EXAMPLE)))
        optional = [name for name, field in PredictRequest.model_fields.items() if not field.is_required()]
        expected = f"a JSON object with texts, and optionally {' and '.join(optional)}"
        return _refusal(422, str(UserError(expected, _found(first), _EXAMPLE)))


def _found(mistake: Mapping[str, Any]) -> str:
    """Describe a mistake that pydantic found in a body."""
    name = ".".join(str(part) for part in mistake["loc"][1:])
    if not name and mistake["type"] == "missing":
        return "no body"
    if mistake["type"] == "model_attributes_type":
        return f"a JSON value of the type {type(mistake['input']).__name__}"
    if mistake["type"] == "missing":
        return f"no {name}"
    if mistake["type"] == "extra_forbidden":
        return f"a field {name!r}"
    return f"{name or 'the body'}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"


def _refusal(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    # Names from a request may hold characters that UTF-8 cannot encode.
    return JSONResponse({"detail": detail.encode(errors="backslashreplace").decode()}, status, headers)


async def _disconnection(request: Request) -> None:
    """Return when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
