"""The command `python -m acl_lightning serve DIR`: an adaptive ONNX package as an HTTP service."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.cli.deploy.extra import missing_package

#: Setting of `Limits` -> type and explanation of its option. The defaults are those of `Limits`.
LIMITS: dict[str, tuple[type, str]] = {
    "batch": (int, "largest number of texts that are computed together (default: 32)"),
    "wait_ms": (float, "longest time that a text waits for others while the model is idle (default: 2)"),
    "queue": (int, "largest number of texts that wait; beyond it 429 (default: 256)"),
    "texts": (int, "largest number of texts of a request; beyond it 413 (default: 64)"),
    "characters": (int, "largest number of characters of a text; beyond it 413 (default: 20000)"),
    "body_bytes": (int, "largest size of a request; beyond it 413 (default: 1048576)"),
    "body_seconds": (float, "longest time in which a request has to arrive; beyond it 408 (default: 10)"),
    "connections": (int, "largest number of open connections; beyond it 503 (default: 512)"),
    "shutdown_seconds": (float, "longest time for the last answers after SIGTERM (default: 30)"),
}


def main(arguments: Sequence[str]) -> int:
    """Serve a package until SIGTERM or Ctrl-C. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The package is damaged, the port is taken, a limit is not positive, or the extra is not installed.
    """
    options = _parsed(arguments)
    try:
        from acl_lightning.serving import AdaptiveSession, read_manifest
        from acl_lightning.serving.http import Limits, create_app, listen, run_server
    except ImportError as error:
        raise missing_package(error) from error

    settings = vars(options)
    limits = Limits(**{name: settings[name] for name in LIMITS if name in settings})
    recommended = read_manifest(options.directory, check_files=False).content.get("recommended_point")
    with listen(options.host, options.port) as bound:
        session = AdaptiveSession(
            options.directory,
            options.operating_point or recommended,
            "throughput",
            threads=options.threads,
            providers=options.providers,
        )
        app = create_app(session, limits)
        host, port = bound.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        print(f"{address}, operating point {session.operating_point} (stop with Ctrl-C)", flush=True)  # noqa: T201
        run_server(app, bound, limits)
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning serve",
        description="Answer texts over HTTP with an adaptive ONNX package, without torch: POST /predict, GET /health, "
        "/metrics and /docs. Concurrent requests are computed together.",
        example="serve package --port 8000 --operating-point drop1",
    )
    model = parser.add_argument_group("model")
    model.add_argument("directory", type=path, metavar="DIR", help="package that `export --format onnx` wrote")
    model.add_argument(
        "--operating-point",
        "--operating_point",
        metavar="NAME",
        help="operating point of requests that name none, or full_depth (default: the recommended one)",
    )
    model.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the model")
    model.add_argument(
        "--providers",
        nargs="+",
        default=["CPUExecutionProvider"],
        metavar="NAME",
        help="execution providers of onnxruntime, the preferred first (default: CPUExecutionProvider)",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: every interface")
    server.add_argument("--port", type=int, default=8000, help="port; 0: any free port")
    limits = parser.add_argument_group("limits")
    for name, (kind, text) in LIMITS.items():
        option = f"--{name.replace('_', '-')}"
        spellings = dict.fromkeys((option, f"--{name}"))
        limits.add_argument(*spellings, type=kind, default=argparse.SUPPRESS, metavar="N", help=text)
    return parser.parse_args(list(arguments))
