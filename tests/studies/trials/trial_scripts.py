"""Sweeps whose trials are a small script, for tests of what happens around a trial."""

from __future__ import annotations

from pathlib import Path

import yaml

from acl_lightning.studies.trials import Sweep

#: Finishes with the metric `score` = x, after doing what its parameters say. Every start is noted in `starts`.
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path

options = dict(item.lstrip("-").split("=", 1) for item in sys.argv[1:])
run = Path(options["run_dir"])
parameters = json.loads((run / "parameters.json").read_text())
with open("starts", "a") as starts:
    starts.write(run.name + "\\n")
print("device", os.environ.get("CUDA_VISIBLE_DEVICES"), "threads", os.environ.get("OMP_NUM_THREADS"), flush=True)
action = parameters.get("action", "finish")
attempts = Path("starts").read_text().split().count(run.name)
if action == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
if action in ("wait", "stubborn"):
    for _ in range(600):
        if Path("go").exists():
            break
        time.sleep(0.02)
if action == "fail" or (action == "fail once" and attempts == 1):
    sys.exit("RuntimeError: no luck")
if action == "mistake":
    print("error: expected a; found b. Set a.")
    sys.exit(2)
if action == "memory":
    os.kill(os.getpid(), signal.SIGKILL)
if action == "disk":
    sys.exit("OSError: [Errno 28] No space left on device")
if action == "half":
    (run / "result.json").write_text('{"status": "finished", "metr')
    sys.exit()
(run / "checkpoints").mkdir(exist_ok=True)
(run / "checkpoints/last.ckpt").touch()
result = {"schema_version": 1, "status": "finished", "metrics": {"score": parameters.get("x", 0)}}
result |= {"versions": {"acl_lightning": VERSION}, "fit_seconds": 60.0, "validate_seconds": 30.0}
(run / "result.json").write_text(json.dumps(result))
"""


def write_sweep(directory: Path, **content: object) -> Path:
    """Write a sweep of `script.py`, which is written beside it. `content` replaces entries of the sweep.

    Args:
        directory: Where to write both.
        content: Entries, such as `parameters`.
    """
    from acl_lightning import __version__

    (directory / "script.py").write_text(SCRIPT.replace("VERSION", repr(__version__)))
    sweep = {
        "name": "small",
        "method": "grid",
        "program": "script.py",
        "command": ["${env}", "python", "${program}", "${args}"],
        "parameters": {"x": {"values": [1, 2, 3]}},
        **content,
    }
    path = directory / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False))
    return path


def small_sweep(directory: Path, **parameters: list) -> Sweep:
    """Return a grid of `script.py` over these values."""
    return Sweep.read(write_sweep(directory, parameters={key: {"values": v} for key, v in parameters.items()}))
