"""Angles and conflict rates from the log of a run, resumed or not."""

from acl_lightning.runs.records import read_gradient_summary


def test_angles_and_rates_over_all_parts(tmp_path):
    for folder, rows in (("logs", ["50,0.5", ",", "100,0.25"]), ("logs-1", ["60,0.2"])):
        (tmp_path / folder).mkdir()
        header = "gradient/angle/acl_embed,gradient/conflict_rate/acl_embed"
        (tmp_path / folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    assert read_gradient_summary(tmp_path) == {
        "angle_min_acl_embed": 50.0,
        "angle_median_acl_embed": 60.0,
        "angle_max_acl_embed": 100.0,
        "conflict_rate_acl_embed": 0.2,
    }


def test_nothing_recorded(tmp_path):
    assert read_gradient_summary(tmp_path) == {}
