"""Bad input of `predict`, and operating points read back with their criterion's settings."""

import json

import pytest

from acl_lightning.callbacks import AdaptivePrediction
from acl_lightning.callbacks.prediction.measured_run import read_operating_point
from acl_lightning.errors import UserError
from acl_lightning.exits import PCEE, Confidence, Patience


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": Confidence()}, "a criterion and a threshold together; found one of them"),
        ({"threshold": 0.5}, "a criterion and a threshold together; found one of them"),
        ({"criterion": Confidence(), "threshold": 1.5}, "1.5"),
        ({"criterion": Patience(), "threshold": 0.5}, "a patience that is a whole number"),
        (
            {"operating_point": "drop1", "threshold": 0.5},
            "or a criterion and a threshold; found both",
        ),
    ],
)
def test_contradictions_and_ranges(arguments, message):
    with pytest.raises(UserError, match=message):
        AdaptivePrediction(**arguments)


def test_an_operating_point_brings_its_criterions_settings(tmp_path):
    recipe = {"class_path": "acl_lightning.exits.criteria.pcee.PCEE", "init_args": {"bound": 0.3}}
    point = {"criterion": "pcee", "threshold": 2.0, "exit": recipe}
    old = {"criterion": "patience", "threshold": 2.0}
    points = {"drop1": point, "old": old}
    content = {"status": "finished", "recommended": points, "checkpoint": "x/best.ckpt"}
    (tmp_path / "result.json").write_text(json.dumps(content))
    criterion, threshold = read_operating_point(tmp_path / "checkpoints/best.ckpt", "drop1")
    assert isinstance(criterion, PCEE)
    assert (criterion.bound, threshold) == (0.3, 2.0)
    with pytest.raises(UserError, match=r"the criterion of 'old'; found a result of an older version"):
        read_operating_point(tmp_path / "checkpoints/best.ckpt", "old")
    with pytest.raises(UserError, match="thresholds of other weights do not apply"):
        read_operating_point(tmp_path / "checkpoints/last.ckpt", "drop1")
    with pytest.raises(UserError, match="an operating point among: drop1, old; found 'drop9'"):
        read_operating_point(tmp_path / "checkpoints/best.ckpt", "drop9")


@pytest.mark.parametrize("content", [None, "{half"])
def test_without_a_readable_result_there_is_no_operating_point(tmp_path, content):
    if content:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match="Run `validate` into that directory, or give a threshold"):
        read_operating_point(tmp_path / "checkpoints/best.ckpt", "drop1")
    with pytest.raises(UserError, match="a checkpoint for an operating point; found none"):
        read_operating_point(None, "drop1")


@pytest.mark.parametrize(
    "recommended",
    [["drop1"], "drop1", {"drop1": 3}, {"drop1": {"exit": "static", "threshold": 1.0}}]
    + [{"drop1": {"exit": {"name": "static"}, "threshold": threshold}} for threshold in (None, "1", [])],
)
def test_an_odd_result_is_one_line(tmp_path, recommended):
    (tmp_path / "result.json").write_text(json.dumps({"status": "finished", "recommended": recommended}))
    with pytest.raises(UserError, match=r"expected .*; found .*"):
        read_operating_point(tmp_path / "checkpoints/best.ckpt", "drop1")
