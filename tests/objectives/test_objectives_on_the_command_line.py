"""Mistakes with objectives as a user meets them: one line and exit code 2, before anything is trained."""

from pathlib import Path

import pytest

CONF = Path(__file__).parents[2] / "conf/objective"
SETTING = "--model.objective"

MISTAKES = {
    "ACF with batches of one": ("acf", ["--data.batch_size=1"], "a batch of at least 2 samples for acf; found 1"),
    "rho": ("acf", [f"{SETTING}.correlation_weight=-1"], "a correlation_weight (rho) >= 0; found -1"),
    "lambda": ("scl", ["--model.objective.init_args.weight=1.5"], "a convex total with lambda in [0, 1); found 1.5"),
    "one exit": ("self_distillation", ["--model.encoder.exits=[3]"], "at least 2 exits for self_distillation; found 1"),
    "teacher below": (
        "acl_cl",
        [f"{SETTING}.teacher=FixedExit", f"{SETTING}.teacher.exit=2", f"{SETTING}.students=[2]"],
        "a teacher above the student exit 2; found exit 2",
    ),
    "class weights": (
        "ce",
        [f"{SETTING}.class_weights=[1,2,3]"],
        "2 class weights, one per class; found 3",
    ),
    "queue": ("acl_queue", [f"{SETTING}.queue_size=0"], "a size >= 1 of the memory queue; found 0"),
    "schedule": ("contrast_first", [f"{SETTING}.until=2"], "a schedule with until in [0, 1]; found 2"),
    "R-Drop for numbers": ("r_drop", ["--data.task=stsb"], "an objective for regression"),
    "sample weights": (
        "sample_weighted",
        [f"{SETTING}.sample_weights=ReachWeights", f"{SETTING}.sample_weights.init_args.softness=0"],
        "a softness > 0; found 0",
    ),
    "exit weights": (
        "ce",
        ["--model.objective.init_args.exit_weights=Listed", "--model.objective.init_args.exit_weights.weights=[1,2]"],
        "3 exit weights, one per exit; found 2",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(mistake, command):
    objective, arguments, message = MISTAKES[mistake]
    code, error = command("fit", f"--config={CONF / objective}.yaml", *arguments)
    assert code == 2
    assert error.startswith("error: expected ")
    assert message in error
    assert error.count("\n") == 1


def test_a_last_batch_of_one_trains_on(command, tmp_path):
    settings = ("--data.synthetic_rows=25", "--data.batch_size=8")
    balanced = (f"{SETTING}.class_weights=balanced", f"{SETTING}.label_smoothing=0.1")
    assert command("fit", f"--config={CONF / 'acf.yaml'}", *settings, *balanced, f"--run_dir={tmp_path}/run") == (0, "")
