"""Tests of exported runs: weights, operating points, registration with transformers, model card.

Weights are compared bit by bit. Logits of two separately loaded models are compared within float32 rounding, since the
alignment of the weights in memory decides which kernels compute them.
"""

import copy
import json
import math
import subprocess
import sys

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    TextClassificationPipeline,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

from acl_lightning.cli.export import main as export_command
from acl_lightning.errors import UserError
from acl_lightning.exits import PCEE, Calibrated, Entropy, Patience, RecommendedPoint, Static, to_config
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.export import (
    MultiExitConfig,
    MultiExitForSequenceClassification,
    export_run,
    model_card,
    register,
    resolve_point,
    served_points,
)
from acl_lightning.export.pipeline import MultiExitPipeline
from acl_lightning.runs import RunResult, load_run

TEXTS = ["a fine film", "not a film that anyone would want to see a second time , alas", "dull"]


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """Export of a run with three layers."""
    out = tmp_path_factory.mktemp("exports") / "model"
    export_run(finished_run, out)
    return out


def tokens(directory):
    return AutoTokenizer.from_pretrained(directory)(TEXTS, padding=True, return_tensors="pt")


def test_weights_and_logits_are_those_of_the_checkpoint(finished_run, exported):
    module, _ = load_run(finished_run)
    batch = tokens(exported)
    model = AutoModelForSequenceClassification.from_pretrained(exported)
    assert isinstance(model, MultiExitForSequenceClassification)
    assert not model.training
    expected, found = module.encoder.state_dict(), model.encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(**batch).logits_EBC, module.encoder(**batch).logits_EBC)
    for name in (None, *model.config.operating_points):
        where = resolve_point(model.config.operating_points, name, model.config.exit_layers)
        own, served = AdaptiveRuntime(module.encoder, *where)(**batch), model(**batch, operating_point=name)
        torch.testing.assert_close(served.logits, own.logits_BC)
        assert torch.equal(served.exit_layer, own.exit_layer_B)


def test_saving_a_loaded_export_changes_nothing(exported, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(exported)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.to_json_string() == model.config.to_json_string()
    torch.testing.assert_close(again(**tokens(exported)).logits, model(**tokens(exported)).logits)
    assert {name: tensor.tolist() for name, tensor in again.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in model.state_dict().items()
    }


def test_an_operating_point_is_selected_at_loading_or_for_a_call(exported):
    batch = tokens(exported)
    full = AutoModelForSequenceClassification.from_pretrained(exported)
    early = AutoModelForSequenceClassification.from_pretrained(exported, operating_point="first")
    assert full(**batch).exit_layer.tolist() == [3, 3, 3]
    assert early(**batch).exit_layer.tolist() == [1, 1, 1]
    assert full(**batch, operating_point="first").exit_layer.tolist() == [1, 1, 1]
    assert early.config.operating_point == "first"
    logits, layers = early(**batch, return_dict=False)
    assert (logits.shape, layers.tolist()) == ((3, 2), [1, 1, 1])
    only_ids = {"input_ids": batch["input_ids"][1:2]}
    # Bit for bit: the same object computes the same shapes.
    assert torch.equal(full(**only_ids).logits, full(**{name: ids[1:2] for name, ids in batch.items()}).logits)


def test_an_unknown_operating_point_lists_those_that_exist(exported):
    message = "an operating point among: drop0, .*first; found 'drop9'"
    with pytest.raises(UserError, match=message):
        AutoModelForSequenceClassification.from_pretrained(exported, operating_point="drop9")
    model = AutoModelForSequenceClassification.from_pretrained(exported)
    with pytest.raises(UserError, match=message):
        model(**tokens(exported), operating_point="drop9")


def test_an_export_works_in_a_pipeline(exported):
    classify = pipeline("text-classification", model=str(exported), device="cpu")
    answers = classify(TEXTS, batch_size=2)
    model = AutoModelForSequenceClassification.from_pretrained(exported)
    expected_BC = model(**tokens(exported)).logits.softmax(dim=-1)
    assert [answer["label"] for answer in answers] == [
        model.config.id2label[number] for number in expected_BC.argmax(dim=-1).tolist()
    ]
    assert [answer["score"] for answer in answers] == pytest.approx(expected_BC.amax(dim=-1).tolist(), abs=1e-5)
    assert set(model.config.label2id) == {"negative", "positive"}


def test_other_models_get_the_pipeline_of_transformers(exported, tiny_backbone):
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    plain = BertForSequenceClassification.from_pretrained(tiny_backbone)
    assert type(pipeline("text-classification", model=plain, tokenizer=tokenizer)) is TextClassificationPipeline
    ours = pipeline("text-classification", model=str(exported), device="cpu")
    assert type(ours) is MultiExitPipeline
    assert type(copy.copy(ours)) is MultiExitPipeline
    register()  # a second registration does not change the class for other models
    assert type(pipeline("text-classification", model=plain, tokenizer=tokenizer)) is TextClassificationPipeline
    assert PIPELINE_REGISTRY.supported_tasks["text-classification"]["default"]["model"]


def test_a_saved_pipeline_needs_no_remote_code(exported, tmp_path):
    pipeline("text-classification", model=str(exported), device="cpu").save_pretrained(tmp_path)
    assert "custom_pipelines" not in json.loads((tmp_path / "config.json").read_text())
    assert not list(tmp_path.glob("*.py"))
    assert type(pipeline("text-classification", model=str(tmp_path), device="cpu")) is MultiExitPipeline


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


AUTO = "from transformers import AutoModelForSequenceClassification as Auto"


def test_importing_the_export_package_registers_the_model(exported):
    load = f"print(type(Auto.from_pretrained({str(exported)!r})).__name__)"
    done = python(f"import acl_lightning.export\n{AUTO}\n{load}")
    assert done.stdout.strip() == "MultiExitForSequenceClassification", done.stderr


def test_before_the_import_transformers_names_the_model_type_that_the_card_explains(exported):
    load = f"print(type(Auto.from_pretrained({str(exported)!r})).__name__)"
    before = f"try:\n    {load}\nexcept ValueError as error:\n    print(error, file=sys.stderr)"
    imports = f"import sys, acl_lightning, acl_lightning.encoders\n{AUTO}"
    done = python(f"{imports}\n{before}\nimport acl_lightning.export\n{load}")
    assert done.stdout.strip() == "MultiExitForSequenceClassification", done.stderr
    card = " ".join((exported / "README.md").read_text().split())
    assert "import acl_lightning.export" in card
    for words in ("model type `acl_multi_exit`", "does not recognize this architecture"):
        assert words in " ".join(done.stderr.split())
        assert words in card


def test_importing_acl_lightning_installs_no_import_hook_and_imports_no_torch():
    done = python(
        "import sys; before = list(sys.meta_path); import acl_lightning; assert sys.meta_path == before; "
        "print({'torch', 'transformers', 'lightning'} & sys.modules.keys())"
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_the_directory_is_complete_and_the_card_holds_the_measured_values(finished_run, exported):
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= {
        path.name for path in exported.iterdir()
    }
    assert not list(exported.parent.glob(".*"))
    card = (exported / "README.md").read_text()
    result = json.loads((finished_run / "result.json").read_text())
    for row in result["per_exit"]:
        assert f"| {row['layer']} | {100 * row['accuracy']:.1f} |" in card
    for name, point in result["recommended"].items():
        assert f"| `{name}` |" in card
        assert f"| {point['layer_speedup']:.2f}x | {point['flops_speedup']:.2f}x |" in card
    assert "fine-tuned on **sst2**" in card
    assert "`negative`, `positive`" in card
    assert f"measured on {result['samples']['report']} validation samples" in card
    assert result["config_hash"] in card
    assert "/" not in card.partition("Provenance")[2]  # no path of the machine that trained it
    example = card.partition("```python\n")[2].partition("```")[0].replace("DIR", repr(str(exported)))
    exec(example, {})


def test_the_configuration_holds_that_of_the_backbone(exported):
    content = json.loads((exported / "config.json").read_text())
    assert content["model_type"] == "acl_multi_exit"
    assert content["backbone_config"]["model_type"] == "bert"
    assert "auto_map" not in content
    config = AutoConfig.from_pretrained(exported)
    assert config.backbone_config.hidden_size == 32
    assert config.text_columns == ["sentence"]
    assert config.operating_points["first"]["threshold"] == 1.0


def test_a_regression_is_exported_too(regression_run, tmp_path):
    out = tmp_path / "scores"
    export_run(regression_run, out)
    model = AutoModelForSequenceClassification.from_pretrained(out)
    module, _ = load_run(regression_run)
    batch = AutoTokenizer.from_pretrained(out)(
        ["a cat sat", "dogs"], ["a cat", "no"], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, module.encoder(**batch).logits_EBC[-1])
    assert model.config.problem_type == "regression"
    answer = pipeline("text-classification", model=str(out), device="cpu")({"text": "a cat sat", "text_pair": "a cat"})
    assert answer["label"] == "score"
    assert answer["score"] == pytest.approx(model(**batch).logits[0].item(), abs=1e-5)
    assert "one value" in (out / "README.md").read_text()


def test_an_existing_directory_is_not_overwritten(finished_run, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UserError, match=r"an export directory that does not exist yet; found .*Delete it or choose"):
        export_run(finished_run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_directory_without_result_or_checkpoint_is_refused(finished_run, tmp_path):
    with pytest.raises(UserError, match=r"the result of a run at .*result.json; found no such file"):
        export_run(tmp_path / "nothing", tmp_path / "out")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.yaml", "result.json"):
        (bare / name).write_text((finished_run / name).read_text())
    with pytest.raises(UserError, match=r"a checkpoint at .*best.ckpt; found no such file"):
        export_run(bare, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def recommended(description):
    """An operating point with the description of a criterion."""
    return RecommendedPoint(
        criterion_name="entropy",
        threshold=0.5,
        quality=0.9,
        quality_selection=0.9,
        drop_points=0.0,
        mean_exit_layer=1.0,
        layer_speedup=2.0,
        layer_saving=0.5,
        flops_speedup=math.nan,
        shares=(1.0, 0.0),
        leaves_early=True,
        exit=description,
    )


def test_points_keep_all_settings_and_run_no_foreign_code():
    calibrated = Calibrated(Entropy(), [1.0, 2.0])
    points = served_points({"drop1": recommended(to_config(calibrated)), "old": recommended(None)})
    assert list(points) == ["drop1"]
    assert points["drop1"]["measured"]["quality"] == 0.9
    assert "flops_speedup" not in points["drop1"]["measured"]  # it is not finite
    assert points["drop1"]["criterion"] == {
        "name": "calibrated",
        "settings": {"criterion": {"name": "entropy", "settings": {}}, "temperatures_E": [1.0, 2.0]},
    }
    earlier = {"class_path": "acl_lightning.exits.entropy.Entropy", "init_args": {}}
    assert served_points({"drop1": recommended(earlier)})["drop1"]["criterion"] == {"name": "entropy", "settings": {}}
    criterion, threshold = resolve_point(json.loads(json.dumps(points)), "drop1", (1, 2))
    assert isinstance(criterion, Calibrated)
    assert (criterion.temperatures_E, threshold) == ((1.0, 2.0), 0.5)
    assert isinstance(resolve_point(points, None, (1, 2))[0], Static)
    for path in (
        "os.system",
        "acl_lightning.exits.evaluation.sweep.sweep",
        "acl_lightning.exits.Missing",
        "evil.Entropy",
    ):
        foreign = {"x": {"criterion": {"class_path": path, "init_args": {}}, "threshold": 1.0}}
        with pytest.raises(UserError, match=r"an exit criterion among confidence, .*; found"):
            resolve_point(foreign, "x", (1, 2))


def test_the_card_names_criteria_with_settings_and_no_speed_up_without_early_exits():
    early = {"quality": 0.9, "loss_points": 0.5, "layer_speedup": 2.0, "layer_saving": 0.5, "flops_speedup": 2.5}
    full = {"quality": 0.9, "loss_points": 0.0, "layer_speedup": 1.0, "layer_saving": 0.0, "flops_speedup": 0.99}
    points = {
        "drop1": {"criterion": to_config(Calibrated(PCEE(0.2), [1.0, 2.0])), "threshold": 1.0, "measured": early},
        "drop0": {"criterion": to_config(Patience()), "threshold": 2.0, "measured": full},
    }
    config = MultiExitConfig(
        backbone_config={"model_type": "bert", "num_hidden_layers": 2}, exit_layers=[1, 2], operating_points=points
    )
    card = model_card("model", config, RunResult("finished"))
    assert "| `drop1` | Calibrated PCEE, bound 0.2 | 1 | 90.0 | 0.5 | 2.00x | 2.50x |" in card
    assert "| `drop0` | Patience | 2 | 90.0 | 0.0 | no early exits |  |" in card


def test_the_command(finished_run, tmp_path, capsys):
    assert export_command([str(finished_run), "--out", str(tmp_path / "model")]) == 0
    assert "operating points: first, " in capsys.readouterr().out
    with pytest.raises(UserError, match="--onnx together with --exit_layer; found none"):
        export_command([str(finished_run), "--out", str(tmp_path / "other"), "--exit_layer", "1"])
    with pytest.raises(UserError, match="an exit layer among 1, 2, 3; found 9"):
        export_command([str(finished_run), "--out", str(tmp_path / "other"), "--onnx", "--exit_layer", "9"])
    assert not (tmp_path / "other").exists()
