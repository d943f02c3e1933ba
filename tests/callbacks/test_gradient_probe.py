"""Records of the probe against gradients by hand, unchanged training, and resumed, distributed and scaled runs."""

import csv
import json
import math
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from killers import KillBeforeBatch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from matplotlib.image import imread
from training_runs import furthest, in_processes, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import GradientMonitor, GradientProbe, LastCheckpoint, RNGState
from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    ACLGrad,
    AllParameters,
    GradientComparer,
    PerLayer,
    PerTensor,
    Representation,
    Sum,
    TopLayers,
)
from acl_lightning.objectives import (
    ACLCrossLayer,
    ACLEmbed,
    CrossEntropy,
    Objective,
    SquaredError,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.runs.records import GradientComparison, comparisons_text, read_comparisons, write_comparisons

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def probing(**settings):
    return GradientProbe([SupervisedContrastive(), ACLEmbed()], **settings)


def trained(backbone, directory, *callbacks, data=None, encoder=None, ckpt_path=None, trainer=None, **settings):
    """A module with dropout after an epoch of five batches."""
    data = tiny_data(backbone, **(data or {}))
    module = tiny_module(backbone, data, encoder={"dropout": 0.1} | (encoder or {}), **settings)
    saving = any(isinstance(callback, LastCheckpoint) for callback in callbacks)
    runner = tiny_trainer(directory, callbacks=list(callbacks), enable_checkpointing=saving, **(trainer or {}))
    torch.manual_seed(1)
    runner.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module


def overall(probe, term):
    return [record for record in probe.records if (record.term, record.scope) == (term, "AllParameters")]


class FirstGradients(Callback):
    """The gradients of the first batch, by hand: `backward()` for each term on a forward pass with the same dropout."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx:
            return
        self.rows, self.at_embeddings = [], []
        state = torch.get_rng_state()
        for kind in (CrossEntropy(), SupervisedContrastive(), ACLEmbed()):
            torch.set_rng_state(state)
            outputs = pl_module.encoder(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
            outputs.embeddings_EBD.retain_grad()
            (kind.per_exit(outputs, batch["labels"]) * torch.tensor([1.0, 2.0, 3.0]) / 6).sum().backward()
            self.rows.append({name: p.grad for name, p in pl_module.encoder.named_parameters()})
            self.at_embeddings.append(outputs.embeddings_EBD.grad)
            pl_module.zero_grad(set_to_none=True)
        torch.set_rng_state(state)

    def expected(self, k, belongs=lambda name: True):
        names = [n for n in self.rows[0] if belongs(n) and self.rows[0][n] is not None and self.rows[k][n] is not None]
        return by_hand(*(torch.cat([self.rows[j][name].flatten() for name in names]) for j in (0, k)))


def by_hand(a, b):
    a, b = a.double().flatten(), b.double().flatten()
    return ((a @ b) / (a.norm() * b.norm())).item(), a.norm().item(), b.norm().item()


def test_the_records_equal_gradients_computed_by_hand(tiny_backbone, tmp_path):
    probe, hand = probing(scopes=[PerLayer(), TopLayers(2), Representation()]), FirstGradients()
    trained(tiny_backbone, tmp_path, probe, hand)
    first = {(record.term, record.scope, record.group): record[4:] for record in probe.records if record.step == 0}
    top = ("backbone.model.encoder.layer.1.", "backbone.model.encoder.layer.2.")
    for k, term in enumerate(("supervised_contrastive", "acl_embed"), 1):
        expected = {
            ("AllParameters", ""): hand.expected(k),
            ("TopLayers(2)", ""): hand.expected(k, lambda name: name.startswith(top)),
            ("Representation", ""): by_hand(hand.at_embeddings[0], hand.at_embeddings[k]),
            ("PerLayer", "backbone.model.embeddings"): hand.expected(k, lambda name: "embeddings" in name),
            ("PerLayer", "heads.1"): hand.expected(k, lambda name: name.startswith("heads.1.")),
        }
        for layer in range(3):
            group = f"backbone.model.encoder.layer.{layer}"
            expected["PerLayer", group] = hand.expected(k, lambda name, group=group: name.startswith(f"{group}."))
        for (scope, group), values in expected.items():
            assert first[term, scope, group] == pytest.approx(values, rel=1e-4, abs=1e-7), (term, scope, group)
    assert {group for term, scope, group in first if scope == "PerLayer"} == {
        "backbone.model.embeddings",
        *(f"backbone.model.encoder.layer.{layer}" for layer in range(3)),
        *(f"heads.{exit_}" for exit_ in range(3)),
    }


def test_the_layers_add_up_to_the_whole(tiny_backbone, tmp_path):
    """Inner product and squared norms over all parameters are the sums of those over the groups of a partition."""
    probe = probing(scopes=[PerLayer(), PerTensor()])
    trained(tiny_backbone, tmp_path, probe)
    for whole in overall(probe, "acl_embed"):
        for scope in ("PerLayer", "PerTensor"):
            parts = [record for record in probe.records if (*record[:2], record.scope) == (*whole[:2], scope)]
            assert len(parts) > 6
            product = sum(record.cosine * record.norm_protected * record.norm_term for record in parts)
            assert product == pytest.approx(whole.cosine * whole.norm_protected * whole.norm_term, rel=1e-6)
            assert sum(record.norm_term**2 for record in parts) == pytest.approx(whole.norm_term**2, rel=1e-9)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("rule", [Sum, ACLGrad])
def test_the_training_ends_with_the_same_bits(rule, precision, tiny_backbone, tmp_path):
    settings = {"objective": WeightedObjective(ACLEmbed()), "gradient_rule": rule()} if rule is ACLGrad else {}
    trainer = {"precision": precision}
    alone = trained(tiny_backbone, tmp_path / "alone", trainer=trainer, **settings)
    probe = probing()
    probed = trained(tiny_backbone, tmp_path / "probed", probe, trainer=trainer, **settings)
    assert furthest(weights(alone), weights(probed)) == 0  # the same training on the same machine
    assert len(overall(probe, "acl_embed")) == 5
    assert not probed._forward_hooks


def test_dropout_does_matter_here(tiny_backbone, tmp_path):
    """Otherwise the two tests above would also pass with different dropout."""
    still = trained(tiny_backbone, tmp_path / "still", encoder={"dropout": 0.0})
    assert furthest(weights(still), weights(trained(tiny_backbone, tmp_path / "dropout"))) > 1e-5


class Logged(Callback):
    """Keeps the logged values of every step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def test_the_record_of_a_trained_term_equals_that_of_the_gradient_monitor(tiny_backbone, tmp_path):
    logged = Logged()
    objective = WeightedObjective(ACLEmbed(), weight=0.5, exit_weights=Uniform())
    probe = probing()
    callbacks = (GradientMonitor(every_n_steps=1), probe, logged)
    trained(tiny_backbone, tmp_path, *callbacks, objective=objective, gradient_rule=ACLGrad())
    found = overall(probe, "acl_embed")
    assert len(found) == len(logged.steps) == 5
    for number, (record, values) in enumerate(zip(found, logged.steps, strict=True)):
        assert record.cosine == pytest.approx(values["gradient/cosine/acl_embed"], abs=1e-6)
        assert record.norm_protected == pytest.approx(values["gradient/norm/cross_entropy"], rel=1e-5)
        assert record.norm_term == pytest.approx(2 * values["gradient/norm/acl_embed"], rel=1e-5)  # lambda is 0.5
        assert values["gradient_probe/angle/acl_embed"] == pytest.approx(record.angle, rel=1e-5)
        so_far = sum(record.conflict for record in found[: number + 1]) / (number + 1)
        assert values["gradient_probe/conflict_rate/acl_embed"] == pytest.approx(so_far)


def test_with_stages_it_compares_the_exits_that_are_trained(tiny_backbone, tmp_path):
    """One batch in each of two stages: the deepest exit, then the others."""
    logged, probe = Logged(), probing(scopes=[])
    callbacks = (GradientMonitor(every_n_steps=1), probe, logged)
    settings = {"objective": WeightedObjective(ACLEmbed()), "gradient_rule": ACLGrad(), "first_stage_epochs": 1}
    trainer = {"max_epochs": 2, "limit_train_batches": 1}
    trained(tiny_backbone, tmp_path, *callbacks, trainer=trainer, **settings)
    for record, values in zip(overall(probe, "acl_embed"), logged.steps, strict=True):
        assert record.cosine == pytest.approx(values["gradient/cosine/acl_embed"], abs=1e-6)
        assert record.norm_protected == pytest.approx(values["gradient/norm/cross_entropy"], rel=1e-5)
        assert record.norm_term == pytest.approx(values["gradient/norm/acl_embed"], rel=1e-5)


def test_with_stages_terms_of_several_exits_are_refused(tiny_backbone, tmp_path):
    settings = {"first_stage_epochs": 1, "trainer": {"max_epochs": 2}}
    with pytest.raises(UserError, match="a single exit, for training in two stages; found acl_cl"):
        trained(tiny_backbone, tmp_path, GradientProbe([ACLCrossLayer()]), **settings)


def test_the_interval_and_the_files_of_a_run(tiny_backbone, tmp_path):
    probe = probing(every_n_steps=2)
    trained(tiny_backbone, tmp_path, probe)
    assert {record.step for record in probe.records} == {0, 2, 4}
    assert {path.name for path in tmp_path.iterdir()} == {"gradient_probe.csv", "gradient_angles.png"}
    with (tmp_path / "gradient_probe.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(probe.records)
    for row, record in zip(rows, probe.records, strict=True):
        assert float(row["angle"]) == pytest.approx(math.degrees(math.acos(record.cosine)), rel=1e-6)
    assert imread(tmp_path / "gradient_angles.png").shape[:2] > (100, 100)


class Stop(Callback):
    """Raises before batch 4."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 4:
            raise RuntimeError("stopped on purpose")


def keeping():
    return (LastCheckpoint(every_n_steps=3), RNGState(), probing())


def killed(backbone, directory):
    trained(backbone, directory, *keeping(), KillBeforeBatch(0, 4))


@pytest.mark.parametrize("end", ["exception", "kill"])
def test_a_resumed_run_has_every_record_once(end, tiny_backbone, tmp_path):
    expected, run = tmp_path / "expected", tmp_path / "run"
    trained(tiny_backbone, expected, *keeping())
    path = run / "gradient_probe.csv"
    if end == "exception":
        with pytest.raises(RuntimeError, match="on purpose"):
            trained(tiny_backbone, run, *keeping(), Stop())
        assert {record.step for record in read_comparisons(run)} == {0, 1, 2, 3}
    else:
        assert in_processes(killed, tiny_backbone, run) == [-signal.SIGKILL]
        assert {record.step for record in read_comparisons(run)} == {0, 1, 2}
    trained(tiny_backbone, run, *keeping(), ckpt_path=run / "checkpoints/last.ckpt")
    assert path.read_bytes() == (expected / "gradient_probe.csv").read_bytes()


def test_a_new_run_does_not_continue_an_old_file(tiny_backbone, tmp_path):
    write_comparisons(tmp_path, [GradientComparison(0, "old", "AllParameters", "", 0.5, 1, 1)])
    trained(tiny_backbone, tmp_path, probing())
    assert {record.term for record in read_comparisons(tmp_path)} == {
        "supervised_contrastive",
        "acl_embed",
    }


WORLD = 2


def train_share(backbone, directory, world=WORLD):
    """Batches of 8 over all processes; contrastive pools over the whole batch."""
    probe = probing()
    data = {"batch_size": 8 // world}
    trainer = {"strategy": "ddp", "devices": world} if world > 1 else {}
    trained(backbone, directory, probe, data=data, encoder={"dropout": 0.0}, trainer=trainer, global_pool=True)
    if world > 1:
        (directory / f"rank-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(probe.records))


def test_two_processes_record_what_one_does(tiny_backbone, tmp_path):
    backbone = still_backbone(tiny_backbone, tmp_path / "bert")
    train_share(backbone, tmp_path / "one", world=1)
    (tmp_path / "two").mkdir()
    assert in_processes(train_share, backbone, tmp_path / "two", number=WORLD) == [0, 0]
    ranks = [json.loads((tmp_path / "two" / f"rank-{rank}.json").read_text()) for rank in range(WORLD)]
    assert ranks[0] == ranks[1]
    single, two = (read_comparisons(tmp_path / name) for name in ("one", "two"))
    assert {record.scope for record in single} == {"AllParameters", "PerLayer", "TopLayers(1)", "Representation"}
    for first, second in zip(single, two, strict=True):
        assert first[:4] == second[:4]
        assert first[4:] == pytest.approx(second[4:], rel=1e-3, abs=1e-4)


def test_a_loss_scaler_is_undone(tiny_backbone, tmp_path):
    plain, scaled = probing(), probing()
    backbone = still_backbone(tiny_backbone, tmp_path / "bert")
    still = {"encoder": {"dropout": 0.0}}
    trained(backbone, tmp_path / "plain", plain, **still)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    precision = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    trained(backbone, tmp_path / "scaled", scaled, trainer={"plugins": [precision]}, **still)
    first, second = overall(plain, "acl_embed")[0], overall(scaled, "acl_embed")[0]
    assert first[4:] == pytest.approx(second[4:], rel=0.02, abs=5e-3)


def test_frozen_parameters_are_left_out(tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone)
    module = tiny_module(tiny_backbone, data)
    module.encoder.backbone.requires_grad_(requires_grad=False)
    probe = probing()
    tiny_trainer(tmp_path, callbacks=[probe]).fit(module, datamodule=data)
    assert {record.scope for record in probe.records} == {"AllParameters", "PerLayer", "Representation"}
    assert {record.group for record in probe.records if record.scope == "PerLayer"} == {"heads.0", "heads.1", "heads.2"}


def test_values_that_are_not_finite_are_written_and_read(tmp_path):
    records = [
        GradientComparison(0, "a", "PerLayer", "heads.0", -1.0, 2.0, 3.0),
        GradientComparison(1, "a", "PerLayer", "heads.0", math.nan, math.inf, 3.0),
    ]
    path = tmp_path / "gradient_probe.csv"
    path.write_text(comparisons_text(records))
    first, second = read_comparisons(tmp_path)
    assert (first, first.conflict, first.angle) == (records[0], True, 180.0)
    assert math.isnan(second.cosine)
    assert math.isnan(second.angle)
    assert second.conflict


def test_the_file_of_an_earlier_version_is_read_if_there_is_no_other(tmp_path):
    earlier, present = (GradientComparison(step, "a", "AllParameters", "", 0.5, 2.0, 3.0) for step in (0, 1))
    (tmp_path / "gradient_watch.csv").write_text(comparisons_text([earlier]))
    assert read_comparisons(tmp_path) == [earlier]
    (tmp_path / "gradient_probe.csv").write_text(comparisons_text([present]))
    assert read_comparisons(tmp_path) == [present]


@pytest.mark.parametrize("text", ["not,what\nis,expected\n", "step,term\nx,y\n"])
def test_a_file_of_another_kind_is_refused(text, tmp_path):
    path = tmp_path / "gradient_probe.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="the comparisons of GradientProbe"):
        read_comparisons(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": []}, "terms with different names for GradientProbe; found"),
        ({"terms": [ACLEmbed(), ACLEmbed(0.1)]}, "terms with different names for GradientProbe; found"),
        ({"terms": [ACLEmbed()], "every_n_steps": 0}, "an interval >= 1; found 0"),
        ({"terms": [ACLEmbed()], "scopes": [AllParameters()]}, "each scope once"),
        ({"terms": [ACLEmbed()], "scopes": [TopLayers(1), TopLayers(1)]}, "each scope once"),
    ],
)
def test_contradictions(arguments, message):
    with pytest.raises(UserError, match=message):
        GradientProbe(**arguments)


def test_scopes_that_differ_in_arguments_only_are_two():
    assert len(GradientProbe([ACLEmbed()], scopes=[TopLayers(1), TopLayers(2), PerTensor()]).scopes) == 4


class Attentive(SupervisedContrastive):
    """Keeps the class counts and the quality of the exits."""

    name = "attentive"

    def __init__(self):
        super().__init__()
        self.register_buffer("quality_E", torch.zeros(3))

    def prepare(self, class_counts_C):
        self.counts_C = class_counts_C

    def after_validation(self, quality_E):
        self.quality_E = quality_E.cpu().float()


def test_probed_terms_are_prepared_like_trained_terms(tiny_backbone, tmp_path):
    term, resumed = Attentive(), Attentive()
    probe = GradientProbe([term])
    trained(tiny_backbone, tmp_path, probe, trainer={"limit_val_batches": 1.0})
    assert term.counts_C.sum() == 40
    assert term.quality_E.max() > 0
    GradientProbe([resumed]).load_state_dict(probe.state_dict())
    assert torch.equal(resumed.quality_E, term.quality_E)


def test_probed_terms_get_class_counts_on_the_device_of_the_module(tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone)
    module = trained(tiny_backbone, tmp_path).to("meta")
    data.setup("fit")
    probe = GradientProbe([Attentive()])
    probe.on_train_start(SimpleNamespace(datamodule=data, default_root_dir=tmp_path), module)
    assert probe.terms[0].counts_C.device.type == "meta"


class Own(Objective):
    """An objective that is not `WeightedObjective`."""

    def losses_per_exit(self, outputs, labels_B):
        return {"own": CrossEntropy().per_exit(outputs, labels_B)}

    def terms(self, outputs, labels_B):
        return {name: loss_E.mean() for name, loss_E in self.losses_per_exit(outputs, labels_B).items()}


def test_an_objective_without_exit_weights_is_refused(tiny_backbone, tmp_path):
    with pytest.raises(UserError, match="of the class WeightedObjective for GradientProbe; found Own"):
        trained(tiny_backbone, tmp_path, probing(), objective=Own())


def test_parameters_without_gradients_are_no_silent_zeros(tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(GradientComparer, "_row", lambda self, loss: [None] * (len(self._parameters) + 1))
    with pytest.raises(UserError, match="the strategy shards or hides them"):
        trained(tiny_backbone, tmp_path, probing())


def test_terms_that_do_not_fit_the_task_are_refused(tiny_backbone, tmp_path):
    values = {"data": {"task": "stsb"}, "objective": WeightedObjective(protected=SquaredError())}
    with pytest.raises(UserError, match="an objective for regression"):
        trained(tiny_backbone, tmp_path, probing(), **values)
