"""HTTP service for an adaptive ONNX package: FastAPI application, dynamic batching, limits, metrics, and server.

Needs the extra `serve` (FastAPI, uvicorn, prometheus-client) beside what `acl_lightning.serving` needs; not torch.
"""

from acl_lightning.serving.http.application import create_app
from acl_lightning.serving.http.batching import Batcher, BatchReport, ClosedError, QueueFullError
from acl_lightning.serving.http.limits import Limits
from acl_lightning.serving.http.server import listen, run_server

__all__ = [
    "BatchReport",
    "Batcher",
    "ClosedError",
    "Limits",
    "QueueFullError",
    "create_app",
    "listen",
    "run_server",
]
