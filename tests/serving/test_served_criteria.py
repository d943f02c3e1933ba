"""Tests that the numpy criteria decide as those of torch."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Calibrated,
    Confidence,
    Ensembled,
    Entropy,
    Patience,
    PrototypeMargin,
    criterion_names,
    from_config,
    to_config,
)
from acl_lightning.exits.criteria.registry import BUILT_IN as TORCH_CRITERIA
from acl_lightning.serving import criteria as served
from acl_lightning.serving.criteria import served_criterion


def test_every_shipped_criterion_has_a_numpy_form():
    assert set(served.BUILT_IN) == {kind.name for kind in TORCH_CRITERIA} <= set(criterion_names())


def plain_criteria(num_classes: int) -> list:
    """Every shipped criterion with settings of several values, also calibrated."""
    kinds = [kind for kind in TORCH_CRITERIA if kind not in {Calibrated, Ensembled}]
    variants = [variant for kind in kinds for variant in list(kind().variants(num_classes))[::4]]
    if num_classes == 1:
        return [criterion for criterion in variants if criterion.supports_regression]
    temperatures_E = (0.5, 1.0, 3.0, 1.7)
    ensembles = [
        Ensembled(criterion, [[1.0], [0.5, 0.5], [0.0, 0.25, 0.75], [0.4, 0.0, 0.3, 0.3]])
        for criterion in (Patience(), PrototypeMargin(), Calibrated(Entropy(), temperatures_E))
    ]
    return [*variants, Calibrated(Entropy(), temperatures_E), Calibrated(PrototypeMargin(), temperatures_E), *ensembles]


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 7]), st.sampled_from([0.05, 1.0, 8.0, 60.0]), st.booleans())
def test_certainties_agree_with_torch(seed, num_classes, scale, broken):
    nan, inf = torch.nan, torch.inf
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = scale * torch.randn(4, 9, num_classes, generator=generator)
    gates_EB = scale * torch.randn(4, 9, generator=generator)
    cosines_EBC = torch.rand(4, 9, num_classes, generator=generator) * 2 - 1
    if broken:
        logits_EBC[1, 2], logits_EBC[2, 3, 0], gates_EB[0, 4], cosines_EBC[3, 5, 0] = nan, inf, nan, nan
    for criterion in plain_criteria(num_classes):
        ours = served_criterion(json.loads(json.dumps(to_config(criterion))))
        expected_EB = criterion.certainty(criterion.inputs(logits_EBC, gates_EB, cosines_EBC)).numpy()
        answers_EBC = criterion.answers(logits_EBC).numpy()
        for exit_ in range(4):
            results = [values[: exit_ + 1].numpy() for values in (logits_EBC, gates_EB, cosines_EBC)]
            certainty_B = ours.certainty(*results)
            assert certainty_B.dtype == np.float32
            answers_BC = ours.answer(results[0])
            np.testing.assert_allclose(answers_BC, answers_EBC[exit_], rtol=1e-5, atol=1e-5, err_msg=criterion.name)
            np.testing.assert_allclose(certainty_B, expected_EB[exit_], rtol=0, atol=2e-6, err_msg=criterion.name)


def test_descriptions_are_those_of_torch():
    description = to_config(Calibrated(Confidence(), (2.0, 0.5)))
    assert from_config(description) == Calibrated(Confidence(), (2.0, 0.5))
    logits_EBC = np.array([[[2.0, 0.0]], [[1.0, 0.0]]], dtype=np.float32)
    certainty_B = served_criterion(description).certainty(logits_EBC, None)
    np.testing.assert_allclose(certainty_B, 1 / (1 + np.exp(-1 / 0.5)), rtol=1e-6)


def test_unknown_criteria_and_damaged_settings_are_refused():
    with pytest.raises(UserError, match=r"ONNX form: confidence, .*; found 'mine'\. Sweep other criteria"):
        served_criterion({"name": "mine", "settings": {}})
    with pytest.raises(UserError, match="settings of the criterion pcee"):
        served_criterion({"name": "pcee", "settings": {"bounds": 3}})
    with pytest.raises(UserError, match="a model with a learnt gate"):
        served_criterion({"name": "learnt_gate"}).certainty(np.zeros((1, 1, 2), np.float32), None)
