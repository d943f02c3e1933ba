"""The service on real sockets of this machine: bad clients, shutdown by a signal, and the command line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import httpx2 as httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from small_package import expected

from acl_lightning.cli import main
from acl_lightning.cli.deploy.serve import LIMITS, _parsed
from acl_lightning.errors import UserError
from acl_lightning.serving.http import Limits, create_app, listen, run_server, server

ROOT = Path(__file__).parents[3]

#: Runs the command line where the modules of the first argument are not installed.
WITHOUT = """
import sys

class Absent:
    names = set(sys.argv[1].split())

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from acl_lightning.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def address(session, monkeypatch) -> str:
    """A service in a thread of this process."""
    servers = []

    class Recorded(server._Server):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            servers.append(self)

    monkeypatch.setattr(server, "_Server", Recorded)
    limits = Limits(body_seconds=0.5, body_bytes=2000, connections=40, wait_ms=0)
    bound = listen("127.0.0.1", 0)
    host, port = bound.getsockname()
    thread = threading.Thread(target=run_server, args=(create_app(session, limits), bound, limits))
    thread.start()
    yield f"http://{host}:{port}"
    servers[0].should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def not_installed_with(requirements: list[str]) -> set[str]:
    """Modules that some distributions, and what these require without extras, do not contain."""
    waiting, names = list(requirements), set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
            waiting += metadata.requires(name) or []
    distributions = metadata.packages_distributions()
    return {
        module
        for module, owners in distributions.items()
        if not names & set(map(canonicalize_name, owners)) and not module.startswith(("acl_lightning", "_", "."))
    }


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def response_to(address: str, data: bytes) -> bytes:
    """Send bytes and read until the server closes the connection."""
    with connected(address) as client:
        client.sendall(data)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def check_answers(address: str, texts: list[str]) -> None:
    """Every text is answered with the answer to this text."""
    with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
        for text in texts:
            response = client.post("/predict", json={"texts": text})
            assert response.status_code == 200
            (prediction,) = response.json()["predictions"]
            assert (prediction["label"], prediction["exit_layer"]) == (
                expected(text)["label"],
                expected(text)["exit_layer"],
            )


def test_bad_clients_do_not_disturb_others(address):
    head = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    silent, half, slow = (connected(address) for _ in range(3))
    half.sendall(b"POST /pred")
    slow.sendall(head + b'Content-Length: 30\r\n\r\n{"te')
    for _ in range(10):
        with connected(address) as leaving:
            leaving.sendall(head + b'Content-Length: 15\r\n\r\n{"texts": "w1"}')
    assert response_to(address, b"\x00\xff garbage\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert response_to(address, b"GET /" + b"x" * 100_000).startswith(b"HTTP/1.1 400")
    large = response_to(address, head + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000)
    assert large.startswith(b"HTTP/1.1 413")
    assert b"expected a body of at most 2000 bytes; found 5000 or more" in large
    endless = response_to(
        address, head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 9
    )
    assert endless.startswith(b"HTTP/1.1 413")
    check_answers(address, [f"w{n}" for n in range(1, 41, 4)])
    assert slow.recv(65536).startswith(b"HTTP/1.1 408")
    for client in (silent, half, slow):
        client.close()
    check_answers(address, ["w7 v2"])


def test_connections_beyond_the_limit_are_answered_by_503(address):
    idle = [connected(address) for _ in range(40)]
    try:
        assert b"503" in response_to(address, b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    finally:
        for client in idle:
            client.close()
    check_answers(address, ["v9"])


def test_sigterm_answers_what_was_accepted_with_the_packages_of_the_image_alone(package):
    lines = (ROOT / "docker/requirements.txt").read_text().splitlines()
    missing = not_installed_with([line for line in lines if not line.startswith("#")])
    assert missing >= {"torch", "transformers", "lightning", "datasets", "onnx", "jsonargparse"}
    command = [sys.executable, "-c", WITHOUT, " ".join(sorted(missing))]
    command += ["serve", str(package), "--port=0", "--wait-ms=60000", "--batch=64"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            line = process.stdout.readline()
            address = re.match(r"(http://127\.0\.0\.1:\d+), operating point certain", line)[1]
            texts = [f"{letter}{n}" for letter in "wv" for n in range(1, 11)]
            with ThreadPoolExecutor(len(texts)) as clients:
                checks = [clients.submit(check_answers, address, [text]) for text in texts]
                with httpx.Client(base_url=address, trust_env=False) as client:
                    deadline = time.monotonic() + 30
                    while client.get("/health").json()["waiting"] < len(texts) and time.monotonic() < deadline:
                        time.sleep(0.02)
                process.send_signal(signal.SIGTERM)
                for check in checks:
                    check.result(30)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, stderr) == (0, "")


def test_a_port_in_use_is_refused_before_the_package_is_loaded(package, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(package), f"--port={port}"]) == 2
    message = capsys.readouterr().err
    assert f"error: expected to listen on 127.0.0.1, port {port}; found Address already in use. Set another" in message


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 70000, "a port between 0 and 65535; found 70000"),
        ("127.0.0.1", -1, "a port between 0 and 65535; found -1"),
        ("no.such.host.invalid", 0, "to listen on no.such.host.invalid, port 0; .*Set --host 127.0.0.1"),
        ("192.0.2.1", 0, "to listen on 192.0.2.1, port 0; found Cannot assign requested address. Set --host 127.0.0.1"),
    ],
)
def test_addresses_that_do_not_exist_are_refused(host, port, message):
    with pytest.raises(UserError, match=message):
        listen(host, port)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--operating-point=best"], "an operating point among: certain, fast, full_depth; found 'best'"),
        (["--queue=10"], "a queue of at least 64 texts, the largest request; found 10"),
        (["--batch=0"], "a positive number as --batch; found 0"),
        (["--wait-ms=-1"], "0 or a positive number as --wait-ms; found -1. Set --wait-ms 2"),
        (["--threads=0"], "a number of threads, an integer >= 1; found 0"),
        (["--providers=CUDAExecutionProvider"], "expected execution providers among"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(package, arguments, message, capsys):
    assert main(["serve", str(package), "--port=0", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_package_is_named(tmp_path, package, capsys):
    assert main(["serve", str(tmp_path), "--port=0"]) == 2
    assert "expected an adaptive ONNX package in" in capsys.readouterr().err
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in package.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    content = bytearray((copy / "exit_2.onnx").read_bytes())
    content[-1] ^= 1
    (copy / "exit_2.onnx").write_bytes(content)
    assert main(["serve", str(copy), "--port=0"]) == 2
    assert "exit_2.onnx; found another content" in capsys.readouterr().err


def test_without_the_extra_the_command_names_it(package, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("acl_lightning.serving.http")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", str(package)]) == 2
    assert (
        "expected the package uvicorn; found none. Install it: pip install 'acl-lightning[serve]'"
        in capsys.readouterr().err
    )


def test_the_help_shows_the_defaults_of_the_limits(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert set(LIMITS) == set(Limits.__dataclass_fields__)
    for name, (kind, description) in LIMITS.items():
        default = getattr(Limits(), name)
        assert type(default) is kind
        assert f"(default: {default:g})" in description or f"(default: {default})" in description
        assert f"--{name.replace('_', '-')}" in text


def test_the_service_listens_on_this_machine_only_by_default(package, monkeypatch):
    used = []

    def remember(host, port):
        used.append((host, port))
        raise UserError("a", "b", "c")

    monkeypatch.setattr("acl_lightning.serving.http.listen", remember)
    assert main(["serve", str(package)]) == 2
    assert used == [("127.0.0.1", 8000)]


def test_messages_are_json(address):
    with httpx.Client(base_url=address, trust_env=False) as client:
        response = client.post("/predict", content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert list(json.loads(response.content)) == ["detail"]


def test_the_image_installs_by_the_script_and_runs_the_command():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "RUN /source/docker/install.sh" in dockerfile
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    words = json.loads(entry)
    assert words[:4] == ["python", "-m", "acl_lightning", "serve"]
    script = (ROOT / "docker/install.sh").read_text()
    assert "--no-deps" in script
    assert os.access(ROOT / "docker/install.sh", os.X_OK)
    options = _parsed(words[4:])
    assert (options.host, str(options.directory)) == ("0.0.0.0", "/package")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "docker/requirements.txt").read_text().splitlines()
    assert set(project["optional-dependencies"]["serve"]) <= set(lines)
