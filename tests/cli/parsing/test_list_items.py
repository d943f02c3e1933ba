"""Overrides of one item of a list."""

import json

import pytest


def configuration(auxiliary, **settings):
    arguments = {"auxiliary": auxiliary, **settings}
    objective = {"class_path": "acl_lightning.objectives.WeightedObjective", "init_args": arguments}
    return f"--config={json.dumps({'model': {'objective': objective}})}"


EMBED, CROSS_LAYER = "acl_lightning.objectives.ACLEmbed", "acl_lightning.objectives.ACLCrossLayer"
TWO_TERMS, ONE_TERM = configuration([EMBED, CROSS_LAYER]), configuration(EMBED)
TWO_BUDGETS = "[{class_path: MaxDrop, init_args: {points: 1}}, {class_path: MinSpeedup, init_args: {times: 2}}]"
TERMS = "model.objective.init_args.auxiliary"


def temperatures(settings):
    return [term.init_args.temperature for term in settings[TERMS]]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("inner", ["", "init_args."])
def test_an_index_changes_that_item_only(parse, index, inner):
    settings = parse(TWO_TERMS, f"--{TERMS}.{index}.{inner}temperature=0.125")
    assert temperatures(settings) == ([0.125, 0.3] if index == 0 else [0.3, 0.125])
    assert [term.class_path.rpartition(".")[2] for term in settings[TERMS]] == ["ACLEmbed", "ACLCrossLayer"]


def test_several_items_one_after_the_other(parse):
    names = [f"--{TERMS}.{index}.init_args.temperature={value}" for index, value in ((1, 0.25), (0, 0.125), (1, 0.5))]
    assert temperatures(parse(TWO_TERMS, *names)) == [0.125, 0.5]


def test_without_an_index_a_list_of_several_items_is_refused(parse):
    message = parse(TWO_TERMS, f"--{TERMS}.init_args.temperature=0.1")
    assert f"expected an index for {TERMS}, a list of 2 items; found {TERMS}.init_args.temperature. " in message
    assert f"Write {TERMS}.0.init_args.temperature for the first item" in message


def test_without_an_index_a_single_item_is_changed(parse):
    one = "--model.objective.init_args.auxiliary=[acl_lightning.objectives.ACLEmbed]"
    assert temperatures(parse(TWO_TERMS, one, f"--{TERMS}.init_args.temperature=0.5")) == [0.5]
    settings = parse(ONE_TERM, f"--{TERMS}.init_args.temperature=0.5")
    assert settings[TERMS].init_args.temperature == 0.5


@pytest.mark.parametrize(
    ("auxiliary", "option", "expected"),
    [
        ([EMBED, CROSS_LAYER], f"{TERMS}.2.init_args.temperature=1", "expected an index from 0 to 1"),
        (EMBED, f"{TERMS}.0.init_args.temperature=1", f"expected a list at {TERMS}; found a single value"),
        (None, f"{TERMS}.0.init_args.temperature=1", f"expected a list at {TERMS}; found null"),
        ([EMBED, CROSS_LAYER], f"{TERMS}.1.init_args.temprature=1", f"Did you mean {TERMS}.1.init_args.temperature?"),
        (
            [EMBED, CROSS_LAYER],
            f"{TERMS}.0.init_args.temperature=warm",
            f"a number for {TERMS}.0.init_args.temperature; found warm",
        ),
    ],
)
def test_a_mistake_names_the_right_form(parse, auxiliary, option, expected):
    assert expected in parse(configuration(auxiliary), f"--{option}")


def test_an_item_can_be_replaced_and_so_can_a_number(parse):
    weighted = configuration([EMBED, CROSS_LAYER], weight=[0.5, 0.5])
    settings = parse(weighted, f"--{TERMS}.1=SupervisedContrastive", "--model.objective.init_args.weight.0=0.25")
    assert [term.class_path.rpartition(".")[2] for term in settings[TERMS]] == ["ACLEmbed", "SupervisedContrastive"]
    assert settings.model.objective.init_args.weight == [0.25, 0.5]


def test_callbacks_loggers_criteria_and_budgets(parse):
    settings = parse(
        "--trainer.callbacks=[EarlyStopping, Timer]",
        "--trainer.callbacks.0.monitor=val/selection",
        "--trainer.callbacks.0.patience=7.0",
        "--trainer.logger=[CSVLogger, WandbLogger]",
        "--trainer.logger.1.project=acl",
        "--trainer.logger.1.offline=True",
        "--exit_sweep.criteria=[Confidence, PCEE]",
        "--exit_sweep.criteria.1.bound=0.5",
        f"--exit_sweep.budgets={TWO_BUDGETS}",
        "--exit_sweep.budgets.1.times=3",
    )
    assert settings.trainer.callbacks[0].init_args.monitor == "val/selection"
    assert settings.trainer.callbacks[0].init_args.patience == 7
    assert settings.trainer.logger[1].init_args.offline is True
    assert settings.trainer.logger[1].init_args.project == "acl"
    assert settings.exit_sweep.criteria[1].init_args.bound == 0.5
    assert settings.exit_sweep.budgets[0].init_args.points == 1
    assert settings.exit_sweep.budgets[1].init_args.times == 3


def test_an_appended_item_is_named_by_its_index(parse):
    callbacks = ("--trainer.callbacks+=Timer", "--trainer.callbacks+=EarlyStopping")
    assert "expected an index" in parse(*callbacks, "--trainer.callbacks.monitor=loss")
    settings = parse(*callbacks, "--trainer.callbacks.1.monitor=loss")
    assert settings.trainer.callbacks[1].init_args.monitor == "loss"


def test_indices_in_a_json_file_with_dotted_keys(parse, tmp_path):
    path = tmp_path / "sweep-args.json"
    path.write_text(json.dumps({f"{TERMS}.0.init_args.temperature": 0.125, f"{TERMS}.1": "SelfDistillation"}))
    settings = parse(TWO_TERMS, f"--config={path}")
    assert temperatures(settings) == [0.125, 3.0]
    path.write_text(json.dumps({f"{TERMS}.init_args.temperature": 0.125}))
    assert f"Write {TERMS}.0.init_args.temperature" in parse(TWO_TERMS, f"--config={path}")
