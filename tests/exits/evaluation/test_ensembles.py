"""Weights of ensembles: the optimum of the fit, when it falls back to single exits, and their way into a report."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_report import record

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Ensemble,
    Ensembled,
    Entropy,
    LearntEnsemble,
    Static,
    SweepReport,
    UniformEnsemble,
    evaluate,
    from_config,
    negative_log_likelihood,
    to_config,
)
from acl_lightning.exits.evaluation import ensembles
from acl_lightning.exits.evaluation.ensembles import fit_weights


def exits_of(samples, *, independent, classes=3, seed=0, scale=3.0):
    """Logits of three exits with independent errors, or with errors that are nearly those of the exit before."""
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(classes, (samples,), generator=generator)
    common_BC = torch.randn(samples, classes, generator=generator)
    own_EBC = torch.randn(3, samples, classes, generator=generator)
    noise_EBC = own_EBC if independent else 0.95 * common_BC + 0.3 * own_EBC
    strength_E11 = torch.tensor([0.8, 1.0, 1.2])[:, None, None]
    return scale * (strength_E11 * torch.nn.functional.one_hot(labels_B, classes) + noise_EBC), labels_B


def objective(logits_EBC, labels_B, weights_E, strength):
    """The formula of `LearntEnsemble`, term by term."""
    mean_BC = sum(weight * logits_BC.double() for weight, logits_BC in zip(weights_E, logits_EBC, strict=True))
    penalty = sum(
        weight**2 * logits_BC.double().var(dim=1, correction=0).mean()
        for weight, logits_BC in zip(weights_E[:-1], logits_EBC[:-1], strict=True)
    )
    return torch.nn.functional.cross_entropy(mean_BC, labels_B) + strength * penalty


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("strength", [0.1, 0.001])
def test_the_fit_is_the_minimum_among_weights_that_are_not_negative(independent, strength):
    logits_EBC, labels_B = exits_of(60, independent=independent)
    weights_E = fit_weights(logits_EBC, labels_B, strength).requires_grad_()
    objective(logits_EBC, labels_B, weights_E, strength).backward()
    active_E = weights_E > 1e-5
    assert weights_E.grad[active_E].abs().max() < 1e-4
    assert (weights_E.grad[~active_E] > -1e-4).all()


def test_the_chunks_do_not_change_the_fit(monkeypatch):
    logits_EBC, labels_B = exits_of(60, independent=True)
    whole_E = fit_weights(logits_EBC, labels_B, 0.01)
    monkeypatch.setattr(ensembles, "CHUNK", 7 * 9)
    torch.testing.assert_close(fit_weights(logits_EBC, labels_B, 0.01), whole_E, atol=1e-5, rtol=0)


def test_independent_exits_are_combined_and_the_likelihood_on_new_samples_improves():
    weights_EE = LearntEnsemble().weights(*exits_of(200, independent=True))
    assert [len(row) for row in weights_EE] == [1, 2, 3]
    assert all(min(row) > 0.05 and sum(row) == pytest.approx(1) for row in weights_EE[1:])
    logits_EBC, labels_B = exits_of(2000, independent=True, seed=1)
    means_EBC = Ensembled(Static(), weights_EE).answers(logits_EBC)
    accuracy_E, alone_E = ((part.argmax(dim=-1) == labels_B).double().mean(dim=1) for part in (means_EBC, logits_EBC))
    assert (accuracy_E[1:] > alone_E[1:] + 0.03).all()


@pytest.mark.parametrize("samples", [20, 100])
@pytest.mark.parametrize("scale", [0.3, 3.0, 12.0])
def test_exits_that_add_nothing_are_left_out_however_overconfident_they_are(samples, scale):
    logits_EBC, labels_B = exits_of(samples, independent=False, scale=scale)
    logits_EBC[:2] = torch.randn(2, samples, 3, generator=torch.Generator().manual_seed(5))  # noise
    assert LearntEnsemble().weights(logits_EBC, labels_B)[2] == (0.0, 0.0, 1.0)


def test_labels_that_are_noise_are_not_fitted():
    """A fit to 60 random labels must not combine exits: over 10 draws at most two do, by chance."""
    combined = 0
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        logits_EBC = torch.randn(2, 60, 2, generator=generator)
        labels_B = torch.randint(2, (60,), generator=generator)
        combined += LearntEnsemble().weights(logits_EBC, labels_B)[1][0] > 0
    assert combined <= 2


def test_uniform_weights_need_no_labels():
    labels_B = torch.zeros(2, dtype=torch.long)
    assert UniformEnsemble().weights(torch.zeros(3, 2, 2), labels_B) == ((1.0,), (0.5, 0.5), (1 / 3,) * 3)


@pytest.mark.parametrize(("ensemble", "calibrate"), [(LearntEnsemble(), True), (UniformEnsemble(), False)])
def test_a_report_answers_by_the_ensemble_and_keeps_single_exits_beside_it(ensemble, calibrate):
    content = record()
    grid = {"entropy": [0.1, 0.4, 0.8]}
    report = evaluate(content, [Entropy()], thresholds=grid, ensemble=ensemble, calibrate=calibrate)
    assert SweepReport.from_json(report.to_json()) == report
    selection, rest = (content.split(selection=selection) for selection in (True, False))
    weights_EE = ensemble.weights(selection.logits_EBC, selection.labels_B)
    assert tuple(exit_.weights for exit_ in report.ensemble) == weights_EE
    answers_EBC = Ensembled(Static(), weights_EE).answers(rest.logits_EBC)
    for exit_, mean_BC, alone_BC in zip(report.ensemble, answers_EBC, rest.logits_EBC, strict=True):
        assert exit_.quality == pytest.approx((mean_BC.argmax(1) == rest.labels_B).double().mean().item())
        assert exit_.quality_alone == pytest.approx((alone_BC.argmax(1) == rest.labels_B).double().mean().item())
    plain = evaluate(content, [Entropy()], thresholds=grid)
    assert report.full_depth == plain.full_depth  # single exits
    assert report.points[:3] == plain.points[:3]
    for point in report.points[3:]:
        criterion = from_config(to_config(point.criterion))
        assert criterion == point.criterion
        exits_B = rest.leaving(criterion, point.threshold)
        predicted_B = criterion.answers(rest.logits_EBC).argmax(-1).gather(0, exits_B[None])[0]
        assert point.quality == pytest.approx((predicted_B == rest.labels_B).double().mean().item())
        assert point.criterion.name == ("ensemble_calibrated_entropy" if calibrate else "ensemble_entropy")


class Recorded(Ensemble):
    """Uniform weights; keeps the labels that it was fitted on."""

    def __init__(self):
        self.labels = []

    def weights(self, logits_EBC, labels_B):
        self.labels.append(labels_B)
        return UniformEnsemble().weights(logits_EBC, labels_B)


def test_each_turn_fits_on_its_own_selection_split():
    content, ensemble = record(), Recorded()
    evaluate(content, [Entropy()], thresholds={"entropy": [0.5]}, ensemble=ensemble, cross_fitted=True)
    selection, rest = (content.labels_B[content.selection_B == part] for part in (True, False))
    assert any(torch.equal(labels_B, rest) for labels_B in ensemble.labels)
    assert all(torch.equal(labels_B, rest) or torch.equal(labels_B, selection) for labels_B in ensemble.labels)
    first = Recorded()
    evaluate(content, [Entropy()], thresholds={"entropy": [0.5]}, ensemble=first)
    assert all(torch.equal(labels_B, selection) for labels_B in first.labels)


def test_temperatures_are_fitted_on_the_mean():
    content = record()
    report = evaluate(content, [Entropy()], thresholds={"entropy": [0.5]}, ensemble=UniformEnsemble(), calibrate=True)
    temperatures_E = report.points[-1].criterion.criterion.temperatures_E
    selection = content.split(selection=True)
    answers_EBC = report.points[-1].criterion.answers(selection.logits_EBC)
    for answers_BC, temperature in zip(answers_EBC, temperatures_E, strict=True):
        at = negative_log_likelihood(answers_BC, selection.labels_B, temperature)
        for factor in (0.98, 1.02):
            assert at <= negative_log_likelihood(answers_BC, selection.labels_B, temperature * factor)


def test_what_cannot_be_fitted_says_why():
    logits_EBC, labels_B = exits_of(4, independent=True)
    with pytest.raises(UserError, match=r"at least 5 samples to fit an ensemble of exits; found 4.*UniformEnsemble"):
        LearntEnsemble().weights(logits_EBC, labels_B)
    with pytest.raises(UserError, match="samples to fit an ensemble of exits on; found none"):
        UniformEnsemble().weights(logits_EBC[:, :0], labels_B[:0])
    with pytest.raises(UserError, match="finite exit logits for an ensemble; found inf or NaN"):
        LearntEnsemble(folds=2).weights(logits_EBC.log(), labels_B)
    with pytest.raises(UserError, match="classes for an ensemble of exits; found a regression"):
        evaluate(record(1), metric="pearson", ensemble=UniformEnsemble())
    for strengths in ((), (0.1, 0.2), (0.0,), (float("inf"),)):
        with pytest.raises(UserError, match="positive strengths of LearntEnsemble that descend; found"):
            LearntEnsemble(strengths)
    with pytest.raises(UserError, match="at least 2 folds of LearntEnsemble; found 1"):
        LearntEnsemble(folds=1)


def test_a_record_without_cosines_is_swept_by_all_other_criteria(tmp_path):
    """Records of earlier versions have none; `exit_logits.npz` keeps those of a new one."""
    content = record()
    content.save(tmp_path / "old.npz")
    old = type(content).load(tmp_path / "old.npz")
    assert old.cosines_EBC is None
    names = {point.criterion_name for point in evaluate(old, metric="accuracy").points}
    assert "prototype_margin" not in names
    new = replace(content, cosines_EBC=torch.rand_like(content.logits_EBC))
    new.save(tmp_path / "new.npz")
    loaded = type(content).load(tmp_path / "new.npz")
    assert torch.equal(loaded.cosines_EBC, new.cosines_EBC)
    assert {point.criterion_name for point in evaluate(loaded, metric="accuracy").points} == names | {
        "prototype_margin"
    }
    assert loaded.split(selection=True).cosines_EBC.shape == (3, 60, 3)
