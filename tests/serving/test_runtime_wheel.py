"""Test that the distribution without torch answers like the repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BLOCKED = """
import sys
for name in ("torch", "transformers", "lightning", "datasets", "onnx"):
    sys.modules[name] = None
import acl_lightning
from acl_lightning.serving import AdaptiveSession
assert acl_lightning.__file__.startswith(sys.argv[2]), acl_lightning.__file__
print(AdaptiveSession(sys.argv[1], "entropy")(["w7 w8 w9", "w11"]).labels)
"""


@pytest.mark.slow
def test_the_runtime_wheel_runs_without_torch(tiny_package, tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheels"), str(ROOT / "runtime")]
    earlier = ROOT / "runtime/build/lib/acl_lightning/renamed.py"  # ignored by git
    earlier.parent.mkdir(parents=True, exist_ok=True)
    earlier.touch()
    subprocess.run(build, check=True)
    (wheel,) = (tmp_path / "wheels").glob("acl_lightning_runtime-*.whl")
    assert wheel.stat().st_size < 100_000
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    assert sorted(path.name for path in (site / "acl_lightning").iterdir() if path.name != "__pycache__") == [
        "__init__.py",
        "errors.py",
        "py.typed",
        "serving",
    ]
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", BLOCKED, str(tiny_package), str(site)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    from acl_lightning.serving import AdaptiveSession

    assert done.stdout.strip() == str(AdaptiveSession(tiny_package, "entropy")(["w7 w8 w9", "w11"]).labels)
