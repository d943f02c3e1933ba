"""Which runs are put together, and which never."""

from fabricated_runs import fabricate

from acl_lightning.studies.grouping import comparisons, group_runs
from acl_lightning.studies.reading import read_each, read_run


def grouped(*directories):
    return group_runs([read_run(directory) for directory in directories])


def test_seeds_go_together_and_settings_apart(tmp_path):
    runs = [
        fabricate(tmp_path / f"{row}-{seed}", seed, model__encoder__exit_row=row)
        for seed in (0, 1)
        for row in ("cls", "probe")
    ]
    groups = grouped(*runs)
    assert [(group.label, group.seeds) for group in groups] == [("exit_row=cls", [0, 1]), ("exit_row=probe", [0, 1])]
    assert [run.name for run in groups[1].runs] == ["probe-0", "probe-1"]


def test_the_seed_of_the_data_is_a_setting_unless_it_is_that_of_the_run(tmp_path):
    runs = [fabricate(tmp_path / f"follows{seed}", seed, data__seed=seed) for seed in (1, 2)]
    (group,) = group_runs(read_each(runs))
    assert group.seeds == [1, 2]
    runs.append(fabricate(tmp_path / "fixed", 3, data__seed=1))
    assert [group.seeds for group in group_runs(read_each(runs))] == [[1, 3], [2]]


def test_tasks_and_training_sizes_are_never_mixed(tmp_path):
    groups = grouped(
        fabricate(tmp_path / "a"),
        fabricate(tmp_path / "b", task="rte"),
        fabricate(tmp_path / "c", data__train_rows=None),
        fabricate(tmp_path / "d", seed=1),
    )
    assert [group.comparison for group in groups] == [("sst2", "100"), ("rte", "100"), ("sst2", "all")]
    assert [group.seeds for group in groups] == [[0, 1], [0], [0]]
    assert {group.label for group in groups} == {"all runs"}
    assert list(comparisons(groups)) == [group.comparison for group in groups]


def test_runs_measured_on_different_samples_are_not_averaged(tmp_path):
    other = {"samples": {"selection": 10, "report": 99}}
    groups = grouped(fabricate(tmp_path / "a"), fabricate(tmp_path / "b", seed=1, changes=other))
    assert [group.label for group in groups] == ["samples=11", "samples=99"]


def test_a_repeated_seed_is_known(tmp_path):
    (group,) = grouped(*(fabricate(tmp_path / str(number), seed) for number, seed in enumerate((0, 1, 1))))
    assert group.repeated_seeds == [1]


def test_the_seed_in_force_counts_not_the_one_asked_for(tmp_path):
    run = read_run(fabricate(tmp_path / "a", seed=True, changes={"seed": 77}))
    assert run.seed == 77


def test_generated_data_has_a_training_size_of_its_own(tmp_path):
    run = read_run(fabricate(tmp_path / "a", data__source="synthetic", data__train_rows=None))
    assert run.train_rows == "400"
