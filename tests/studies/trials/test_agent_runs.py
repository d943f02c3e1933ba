"""Runs that W&B's own agent starts from a sweep file, and how a study finds them."""

from __future__ import annotations

import json
import os
import queue
import struct
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml

from acl_lightning.studies.trials import Sweep, TrialState
from acl_lightning.studies.trials.agent_runs import describe_agent_run

ROOT = Path(__file__).parents[3]

SWEEP = """
name: tiny
method: grid
metric: {name: exit/area, goal: maximize}
program: acl_lightning
command: ["${env}", python, -m, acl_lightning, fit, --config, tiny.yaml, --config, "${args_json_file}"]
parameters:
  config: {values: [objective/ce.yaml, [objective/acl.yaml, batch.yaml]]}
  data.train_rows: {values: [null, 16]}
  data.tas: {value: sst2}
"""


def agent(sweep: Path, commands: list[dict]) -> list[int]:
    """Run W&B's agent with a stubbed server that sends these parameters. Returns the exit codes of the runs."""
    from wandb import wandb_agent
    from wandb.apis.public import sweeps

    content = yaml.safe_load(sweep.read_text())
    answers = [
        [{"type": "run", "run_id": f"run{number}", "args": {k: {"value": v} for k, v in arguments.items()}}]
        for number, arguments in enumerate(commands)
    ]
    for (answer,) in answers:
        answer["program"] = content["program"]
    answers.append([{"type": "exit"}])
    codes: list[int] = []
    poll = wandb_agent.AgentProcess.poll

    def polled(self):
        code = poll(self)
        codes.extend([] if code is None else [code])
        return code

    def heartbeat(api, agent_id, metrics, run_status):
        return [] if any(run_status.values()) else answers.pop(0)

    environment = {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "tiny", "WANDB_SILENT": "true"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (
        mock.patch.dict(os.environ, {**environment, "PATH": path, "PYTHONPATH": str(ROOT)}),
        mock.patch.object(sweeps, "_sweep_with_runs", return_value={"config": yaml.safe_dump(content)}),
        mock.patch.object(sweeps, "_register_agent", return_value={"id": "agent"}),
        mock.patch.object(sweeps, "_agent_heartbeat", heartbeat),
        mock.patch.object(wandb_agent.wandb, "Api"),
        mock.patch.object(wandb_agent.wandb, "teardown"),
        mock.patch.object(wandb_agent.AgentProcess, "poll", polled),
    ):
        wandb_agent.Agent(mock.MagicMock(), queue.Queue(), sweep_id="tiny", count=len(commands)).run()
    return codes


def logged_by_wandb(run: Path) -> dict[str, float]:
    """Last value of everything in the offline file of a run, a LevelDB log of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = run.rglob("*.wandb")
    data, position, whole = file.read_bytes(), 7, b""
    values = {}
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # the rest of a block is padding
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in {1, 4}:  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            for item in record.history.item:
                values["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    return values


def test_the_agent_runs_a_sweep_unchanged_and_a_study_finds_its_run(tmp_path, monkeypatch, tiny_backbone):
    monkeypatch.chdir(tmp_path)
    Path("wandb/sweep-tiny").mkdir(parents=True)
    Path("batch.yaml").write_text("data: {batch_size: 8}\n")
    tiny = {"data.source": "synthetic", "data.synthetic_rows": 64, "data.max_length": 16, "trainer.max_epochs": 1}
    tiny |= {"model.encoder.backbone": tiny_backbone, "trainer.accelerator": "cpu"}
    Path("tiny.yaml").write_text(yaml.safe_dump(tiny))
    path = Path("sweep.yaml")
    path.write_text(SWEEP.replace("data.tas:", "data.task:"))
    sweep = Sweep.read(path)
    trial = sweep.trials(Path("runs/trials"))[3]

    assert agent(path, [dict(trial.parameters)]) == [0]

    (run,) = Path("runs").glob("*/trial.json")
    described = json.loads(run.read_text())
    assert described["id"] == trial.id
    assert described["parameters"] == trial.parameters
    same = sweep.trials(Path("runs/trials"), runs=Path("runs"))
    assert [other.state() for other in same] == [TrialState.WAITING] * 3 + [TrialState.FINISHED]
    assert same[3].directory == run.parent
    result = same[3].result()
    settings = yaml.safe_load((run.parent / "config.yaml").read_text())
    assert (settings["data"]["batch_size"], settings["data"]["train_rows"]) == (8, 16)
    logged = logged_by_wandb(run.parent)
    assert sweep.metric.name in logged
    assert logged[sweep.metric.name] == pytest.approx(result.metrics[sweep.metric.name])


@pytest.mark.parametrize("form", ["args", "args_json", "args_json_file"])
def test_an_agent_run_has_the_identity_of_the_trial_in_every_form_of_the_command(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text("data: {batch_size: 8}\n")
    Path("batch.yaml").write_text("data: {batch_size: 4}\n")
    option = "" if form == "args" else "--config, "
    path = Path("sweep.yaml")
    path.write_text(SWEEP.replace('--config, "${args_json_file}"', f'{option}"${{{form}}}", --data.max_length=16'))
    trial = Sweep.read(path).trials(Path("runs/trials"))[2]
    file = tmp_path / "config-run.yaml"
    file.write_text(yaml.safe_dump({"wandb_version": 1, **{k: {"value": v} for k, v in trial.parameters.items()}}))
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(file))
    written = {
        "args": [f"--{name}={value}" for name, value in trial.parameters.items()],
        "args_json": ["--config", json.dumps(dict(trial.parameters))],
        "args_json_file": ["--config", str(file.with_suffix(".json"))],
    }
    arguments = ["fit", "--config", "tiny.yaml", *written[form], "--data.max_length=16"]
    describe_agent_run(tmp_path, arguments)
    assert json.loads((tmp_path / "trial.json").read_text())["id"] == trial.id


def test_an_agent_without_an_account_names_the_offline_way(tmp_path, command, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    for name, value in {"WANDB_SWEEP_ID": "tiny", "HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}.items():
        monkeypatch.setenv(name, value)
    code, shown = command("fit", "--run_dir=run")
    line = shown.strip().splitlines()[-1]
    assert code == 2
    assert line.startswith("error: expected an account of W&B and a network; found: ")
    assert "WANDB_MODE to offline; `study run SWEEP`" in line
    assert "Traceback" not in shown
