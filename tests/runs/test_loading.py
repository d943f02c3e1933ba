"""A saved run is the run that was trained: the same weights, the same settings, the same data."""

import json
import shutil

import pytest
import torch
import yaml

from acl_lightning.errors import UserError
from acl_lightning.runs import load_run, read_result

ACL = ("--model.objective=WeightedObjective", "--model.objective.auxiliary=ACLEmbed")


@pytest.fixture
def run(command, tmp_path):
    assert command("fit", *ACL, "--seed_everything=3", f"--run_dir={tmp_path / 'run'}") == (0, "")
    return tmp_path / "run"


def test_a_run_comes_back_as_it_was_trained(run, tiny_backbone):
    module, data = load_run(run)
    saved = torch.load(run / "checkpoints/best.ckpt")["state_dict"]
    assert module.state_dict().keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in module.state_dict().items())
    assert not module.encoder.training
    assert list(module.objective.all_terms())[-1].name == "acl_embed"
    assert (module.task_name, module.label_names) == ("sst2", ["negative", "positive"])
    assert (data.tokenizer_source, data.shuffle_seed, data.max_length) == (tiny_backbone, 3, 32)
    assert read_result(run).status == "finished"


def test_the_result_says_which_checkpoint_is_meant_unless_one_is_asked_for(run):
    names = {}
    for name, value in (("best", 1.0), ("last", 2.0)):
        content = torch.load(run / "checkpoints/best.ckpt")
        content["state_dict"]["encoder.heads.0.classifier.bias"].fill_(value)
        names[name] = content
    for name, content in names.items():
        torch.save(content, run / f"checkpoints/{name}.ckpt")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"checkpoint": "elsewhere/last.ckpt"}))

    def bias(checkpoint=None):
        return load_run(run, checkpoint)[0].encoder.heads[0].classifier.bias[0].item()

    assert bias() == 2.0
    assert bias("best") == 1.0
    assert bias(str(run / "checkpoints/last.ckpt")) == 2.0
    (run / "result.json").unlink()
    assert bias() == 1.0


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"the configuration of a run at .*config\.yaml; found no such file"):
        load_run(tmp_path)
    with pytest.raises(UserError, match=r"the result of a run at .*result\.json; found no such file"):
        read_result(tmp_path)
    for text in ("a: [", "just words"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(UserError, match="Name a directory that `fit` wrote"):
            load_run(tmp_path)
    for status in ("failed", "interrupted"):
        (tmp_path / "result.json").write_text(f'{{"status": "{status}"}}')
        with pytest.raises(UserError, match=rf"a finished run in .*; found status '{status}'"):
            read_result(tmp_path)
    (tmp_path / "result.json").write_text('{"status"')
    with pytest.raises(UserError, match="found a damaged file"):
        read_result(tmp_path)


def test_a_run_that_lost_something_is_refused_in_one_line(run):
    settings = yaml.safe_load((run / "config.yaml").read_text())

    def with_model(**changes):
        changed = settings | {"model": settings["model"] | changes}
        (run / "config.yaml").write_text(yaml.safe_dump(changed))

    with_model(invented=1)
    with pytest.raises(UserError, match=r"a configuration of this version in .*invented"):
        load_run(run)
    with_model(encoder=settings["model"]["encoder"] | {"backbone": "./gone"})
    with pytest.raises(UserError, match=r"found no such directory"):
        load_run(run)
    with_model(encoder=settings["model"]["encoder"] | {"pooler": False})
    with pytest.raises(UserError, match="a checkpoint with pooler False; found True"):
        load_run(run)
    with_model()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match=r"a checkpoint at .*best\.ckpt; found no such file"):
        load_run(run)
