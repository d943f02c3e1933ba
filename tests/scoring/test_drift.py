"""Tests of the drift tests: their distributions, their false-alarm rate by simulation, and what a report says."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import random_texts
from scipy import special, stats

from acl_lightning.cli.deploy.score import main as score_command
from acl_lightning.errors import UserError
from acl_lightning.scoring.drift import (
    chi_square_survival,
    confidence_drift,
    exit_drift,
    kolmogorov_survival,
    stability_index,
)
from acl_lightning.scoring.gold import gold_label
from acl_lightning.scoring.quality import f1, matthews, overconfidence_bound, pearson, wilson_interval
from acl_lightning.scoring.report import drift_report
from acl_lightning.scoring.tally import BINS, Tally
from acl_lightning.serving import Answers
from acl_lightning.serving.manifest import Manifest

RATE = 0.01
SIMULATIONS = 1000


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 6, 11, 24])
def test_the_chi_square_distribution_is_that_of_scipy(degrees):
    for value in (0.0, 1e-6, 0.5, 3.0, 17.0, 60.0, 900.0):
        assert chi_square_survival(value, degrees) == pytest.approx(stats.chi2.sf(value, degrees), rel=1e-9, abs=1e-300)


def test_the_kolmogorov_distribution_is_that_of_scipy():
    for value in (0.0, 0.1, 0.21, 0.5, 1.0, 1.63, 3.0):
        assert kolmogorov_survival(value) == pytest.approx(special.kolmogorov(value), abs=1e-12)


def test_tests_are_those_of_scipy():
    first, second = [60, 30, 10, 80], [30, 35, 20, 90]
    expected = stats.chi2_contingency([first, second])
    assert exit_drift(first, second).p_value == pytest.approx(expected.pvalue)
    assert exit_drift(first, second).statistic == pytest.approx(expected.statistic)
    samples = [np.repeat(np.arange(4), counts) for counts in (first, second)]
    expected = stats.ks_2samp(*samples, method="asymp")
    assert confidence_drift(first, second).statistic == pytest.approx(expected.statistic)
    n, m = sum(first), sum(second)
    assert confidence_drift(first, second).p_value == pytest.approx(
        special.kolmogorov(expected.statistic * math.sqrt(n * m / (n + m)))
    )


COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@settings(max_examples=60)
@given(COUNTS, st.integers(1, 9))
def test_properties_of_both_tests(counts, factor):
    scaled = [factor * count for count in counts]
    for test in (exit_drift, confidence_drift):
        assert test(counts, scaled).p_value == 1  # equal shares
        other = counts[::-1]
        result, swapped = test(counts, other), test(other, counts)
        assert 0 <= result.p_value <= 1
        assert result.p_value == pytest.approx(swapped.p_value)
        assert test(counts, [0] * len(counts)).p_value == 1  # nothing scored
    assert stability_index(counts, other) == pytest.approx(stability_index(other, counts))
    assert stability_index(counts, counts) == 0


def test_exits_with_few_samples_are_merged():
    assert exit_drift([400, 3, 1, 0], [400, 0, 0, 4]).p_value == 1  # a single cell is left
    assert exit_drift([200, 4, 196], [200, 4, 196]).statistic == 0
    merged, whole = exit_drift([200, 2, 198], [150, 2, 248]), exit_drift([200, 200], [150, 250])
    assert merged == whole


def manifest(layers=(1, 2, 4), names=("no", "yes"), metric="accuracy"):
    return Manifest(None, {"exit_layers": layers, "depth": 4, "label_names": names, "metric": metric})


def draw(generator, shares_E, shape, rows):
    """Exits and confidences of rows; confidences have a beta distribution with the parameters `shape`."""
    exit_counts = generator.multinomial(rows, shares_E)
    bins = (0.5 + 0.5 * generator.beta(*shape, rows)) * BINS
    return exit_counts, np.bincount(bins.astype(int).clip(0, BINS - 1), minlength=BINS)


def point_of(exit_counts, confidence_counts, quality=0.9):
    from acl_lightning.serving.manifest import ServedPoint

    samples = int(exit_counts.sum())
    validation = {
        "samples": samples,
        "exit_shares": (exit_counts / samples).tolist(),
        "confidence_counts": confidence_counts.tolist(),
    }
    return ServedPoint("drop1", {}, 0.9, None, {"quality": quality}, validation)


def tally_of(exit_counts, confidence_counts):
    tally = Tally((1, 2, 4), 2)
    tally.exit_counts, tally.confidence_counts = exit_counts, confidence_counts
    tally.rows = int(exit_counts.sum())
    return tally


def report_of(validation, scored, rate=RATE):
    return drift_report(tally_of(*scored), manifest(), point_of(*validation), rate)


SHARES, SHAPE = (0.5, 0.3, 0.2), (5.0, 1.0)


@pytest.mark.parametrize(("validation_rows", "rows"), [(872, 300), (277, 5000)])
def test_false_alarms_are_as_rare_as_stated(validation_rows, rows):
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(SIMULATIONS):
        samples = [draw(generator, SHARES, SHAPE, number) for number in (validation_rows, rows)]
        alarms += report_of(*samples, rate=0.05).drift
    error = math.sqrt(0.05 * 0.95 / SIMULATIONS)
    assert alarms / SIMULATIONS <= 0.05 + 3 * error
    assert alarms / SIMULATIONS >= 0.02  # not merely silent: the chi-square half keeps its 0.025


def test_drift_is_detected_and_stated_with_its_direction():
    generator = np.random.default_rng(1)
    validation = draw(generator, SHARES, SHAPE, 872)
    deeper = report_of(validation, draw(generator, (0.3, 0.3, 0.4), (2.0, 1.0), 1000))
    assert deeper.drift
    text = " ".join(deeper.findings)
    assert "The inputs differ from the validation rows (false-alarm rate 1 %)." in text
    assert "Exits are deeper than on validation: mean exit layer 2." in text
    assert "Answers take longer: layer speed-up 1." in text
    assert "Confidences are lower than on validation: mean 0.8" in text
    assert "overconfident" not in text
    earlier = report_of(validation, draw(generator, (0.8, 0.1, 0.1), (50.0, 1.0), 1000))
    text = " ".join(earlier.findings)
    assert "Exits are earlier than on validation" in text
    assert "Confidences are higher than on validation" in text
    assert "may be overconfident" in text
    assert "longer" not in text
    otherwise = report_of((np.array([400, 400, 200]), validation[1]), (np.array([600, 100, 300]), validation[1]))
    assert "Exits are distributed otherwise than on validation" in " ".join(otherwise.findings)
    same = report_of(validation, draw(generator, SHARES, SHAPE, 1000))
    assert not same.drift
    assert same.findings[0] == "The inputs do not differ detectably from the validation rows (false-alarm rate 1 %)."


def test_nothing_scored_is_no_drift():
    report = report_of((np.array([5, 3, 2]), np.full(BINS, 1)), (np.zeros(3, int), np.zeros(BINS, int)))
    assert not report.drift
    assert report.findings == ("No row has an answer, so nothing can be compared.",)
    json.dumps(report.content, allow_nan=False)


@pytest.mark.parametrize("rate", [0, 1, -1, math.nan])
def test_a_false_alarm_rate_out_of_range_is_refused(rate):
    sample = (np.array([5, 3, 2]), np.full(BINS, 1))
    with pytest.raises(UserError, match=r"a false-alarm rate between 0 and 1; found .*Set --false-alarm-rate 0.01"):
        report_of(sample, sample, rate)


def test_calibrated_answers_are_rarely_called_overconfident():
    generator = np.random.default_rng(2)
    confidence = 0.5 + 0.5 * generator.beta(5, 1, (2000, 400))
    right = generator.random(confidence.shape) < confidence
    bounds = [overconfidence_bound(*pair, 400) for pair in zip(right.mean(1), confidence.mean(1), strict=True)]
    assert np.mean(np.array(bounds) < 0.05) < 0.05
    assert overconfidence_bound(0.85, 0.92, 400) < 0.01
    assert overconfidence_bound(0.0, 0.5, 10) == pytest.approx(0.5**10)  # exact: all wrong
    assert overconfidence_bound(0.9, 1.0, 10) == 0
    assert overconfidence_bound(1.0, 1.0, 10) == 1


def answers(logits, layers=None):
    logits_BC = np.asarray(logits, np.float32)
    layers = np.ones(len(logits_BC), np.int64) if layers is None else np.array(layers)
    exponentials = np.exp(logits_BC - logits_BC.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return Answers(("?",) * len(logits_BC), probabilities.astype(np.float32), layers, logits_BC)


def test_a_tally_counts_and_is_restored():
    tally = Tally((1, 2, 4), 2)
    tally.add(answers([[0, 9], [9, 0], [np.nan, 0], [0, 1]], [1, 4, 2, 4]), [1, 1, 0, None])
    tally.skip(2)
    assert (tally.rows, tally.skipped, tally.undefined, tally.answered, tally.labelled) == (6, 2, 1, 3, 2)
    assert tally.exit_counts.tolist() == [1, 0, 2]
    assert tally.confusion.tolist() == [[0, 0], [1, 1]]
    assert tally.mean_exit_layer == 3
    other = Tally((1, 2, 4), 2)
    other.restore(json.loads(json.dumps(tally.to_json())))
    assert other.to_json() == tally.to_json()
    with pytest.raises(UserError, match="counts of scored rows as 'exit_counts'; found damaged ones"):
        Tally((1, 2), 2).restore(tally.to_json())
    regression = Tally((1, 2), 0)
    regression.add(
        Answers((1.0, 2.0, 4.0), np.zeros((3, 0), np.float32), np.array([1, 2, 2]), np.array([[1.0], [2.0], [4.0]])),
        [1.0, 3.0, 3.0],
    )
    expected = stats.pearsonr([1, 2, 4], [1, 3, 3]).statistic
    assert pearson(regression.moments) == pytest.approx(expected)
    other = Tally((1, 2), 0)
    other.restore(json.loads(json.dumps(regression.to_json())))
    assert other.to_json() == regression.to_json()
    assert not regression.confidence_counts.any()


def test_quality_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score, matthews_corrcoef

    generator = np.random.default_rng(3)
    truth, predicted = generator.integers(0, 2, (2, 200))
    confusion = np.zeros((2, 2))
    np.add.at(confusion, (truth, predicted), 1)
    assert f1(confusion) == pytest.approx(f1_score(truth, predicted))
    assert matthews(confusion) == pytest.approx(matthews_corrcoef(truth, predicted))
    interval = stats.binomtest(170, 200).proportion_ci(method="wilson")
    assert wilson_interval(0.85, 200) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert f1(np.array([[5.0, 0], [0, 0]])) is None
    assert matthews(np.array([[5.0, 0], [5, 0]])) is None
    assert pearson(np.zeros(6)) is None


def test_labels_are_names_indices_or_numbers():
    names = ("no", "yes")
    values = ["yes", " ", None, "0", 1, -1, "-1", math.nan]
    assert [gold_label(value, names, "row 1") for value in values] == [1, None, None, 0, 1, None, None, None]
    assert gold_label(True, ("false", "true"), "row 1") == 1
    assert gold_label("1", ("1", "0"), "row 1") == 0  # a name comes before an index
    assert gold_label("2.5", (), "row 1") == 2.5
    for value, allowed in (("maybe", names), (2, names), (1.5, names), ("much", ()), ("inf", ())):
        with pytest.raises(UserError, match=r"in row 1; found '"):
            gold_label(value, allowed, "row 1")


def test_a_report_of_the_command(scored_package, tmp_path, capsys):
    """Short texts of one word leave elsewhere than the validation texts; texts like these do not."""
    for seed, words, drift in ((5, 25, False), (6, 1, True)):
        texts = random_texts(300, seed, words)
        path, output, report = (tmp_path / f"{seed}{suffix}" for suffix in (".csv", ".jsonl", ".json"))
        path.write_text(
            "sentence,topic\n" + "".join(f"{text},{('good', '', 1)[number % 3]}\n" for number, text in enumerate(texts))
        )
        options = ["--label", "topic", "--report", str(report)]
        assert score_command([str(scored_package), "--input", str(path), "--output", str(output), *options]) == 0
        content, printed = json.loads(report.read_text()), capsys.readouterr().out
        assert content["drift"] is drift
        assert ("differ from the validation rows" in printed) is drift
        assert all(sentence in printed for sentence in content["findings"])
        assert content["rows"] == sum(content["exits"]["counts"]["scored"]) == 300
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        known = [(row["label"], {"good": "good", "1": "fair"}[row["topic"]]) for row in rows if row["topic"]]
        quality = content["quality"]
        assert quality["labelled_rows"] == len(known) < 300
        assert quality["metrics"]["accuracy"] == pytest.approx(np.mean([label == gold for label, gold in known]))
        assert quality["overconfident"]
        assert f"Quality on {len(known)} rows with labels: accuracy" in printed
