"""Values in the notation of Python's `str`, as W&B sweep agents write them."""

import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.cli.parsing.parser import Parser
from acl_lightning.cli.parsing.values import fit_to_type, members_of

CONF = Path(__file__).parents[3] / "conf"
ACL = f"--config={CONF / 'objective/acl.yaml'}"

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)
NUMBERS = {int: st.integers(-(10**6), 10**6), float: st.floats(allow_nan=False, allow_infinity=False, width=32)}
#: Type -> values; together they cover every plain type of the configuration (see the test below).
TYPES = {
    int: NUMBERS[int],
    float: NUMBERS[float],
    bool: st.booleans(),
    bool | int: st.one_of(st.booleans(), NUMBERS[int]),
    int | None: st.one_of(st.none(), NUMBERS[int]),
    bool | None: st.one_of(st.none(), st.booleans()),
    float | None: st.one_of(st.none(), NUMBERS[float]),
    int | float | None: st.one_of(st.none(), NUMBERS[int], NUMBERS[float]),
    list[int] | None: st.one_of(st.none(), st.lists(NUMBERS[int])),
    float | list[float]: st.one_of(NUMBERS[float], st.lists(NUMBERS[float])),
    tuple[float, ...]: st.lists(NUMBERS[float]).map(tuple),
    dict[str, list[float]] | None: st.one_of(st.none(), st.dictionaries(PRINTABLE, st.lists(NUMBERS[float]))),
    list[str]: st.lists(PRINTABLE),
    list[str | None]: st.lists(st.one_of(st.none(), PRINTABLE.filter(lambda text: text != "None"))),
    Literal["hub", "local", "synthetic"] | None: st.sampled_from(["hub", "local", "synthetic", None]),
    Literal[64, 32, 16] | Literal["16-mixed", "64"] | None: st.sampled_from([32, 16, "16-mixed", None]),
}


def parser_of(typehint):
    parser = Parser(exit_on_error=False, parser_mode="omegaconf+")
    parser.add_argument("--x", type=typehint)
    parser.add_argument("--config", action="config")
    return parser


PARSERS = {typehint: parser_of(typehint) for typehint in TYPES}


@pytest.mark.parametrize("typehint", TYPES, ids=str)
@settings(max_examples=40)
@given(data=st.data())
def test_every_value_is_read_back_from_its_python_notation(typehint, data):
    value = data.draw(TYPES[typehint])
    read = PARSERS[typehint].parse_args([f"--x={value}"]).x
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("typehint", [kind for kind in TYPES if int in members_of(kind)], ids=str)
@settings(max_examples=40)
@given(number=st.integers(-(2**53), 2**53))
def test_a_whole_float_is_an_int_unless_the_type_takes_floats(typehint, number):
    read = PARSERS[typehint].parse_args([f"--x={float(number)}"]).x
    assert read == number
    assert type(read) is (float if float in members_of(typehint) else int)


@settings(max_examples=40)
@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), *NUMBERS.values(), PRINTABLE),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(PRINTABLE, inner)),
    )
)
@pytest.mark.parametrize("typehint", [*TYPES, str, str | None, object], ids=str)
def test_fitting_twice_changes_nothing_more(typehint, value):
    once = fit_to_type(value, typehint)
    assert repr(fit_to_type(once, typehint)) == repr(once)


@pytest.mark.parametrize(
    ("typehint", "text", "expected"),
    [
        (str | None, "None", None),  # documented: an optional text cannot be "None"
        (str, "None", "None"),
        (str | None, "2.0", "2.0"),
        (int | str | None, "2.0", "2.0"),  # a version may be a text
        (list[int] | str | int, "auto", "auto"),
        (list[int] | str | int, "[0.0, 1.0]", [0, 1]),
        (int | None, "1e3", 1000),
        (Literal[64, 32] | Literal["32"], "32.0", 32),
    ],
)
def test_where_a_text_could_mean_two_things(typehint, text, expected):
    read = parser_of(typehint).parse_args([f"--x={text}"]).x
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize("text", ["2.5", "1e300", "inf", "nan", "None"])
def test_what_is_no_int_is_refused(text):
    with pytest.raises(Exception, match="expected an integer"):
        PARSERS[int].parse_args([f"--x={text}"])


SWEEP = {
    "data.train_rows": ("500.0", 500.0, 500),
    "data.source": ("None", None, None),
    "model.optimization.accumulate": ("2.0", 2.0, 2),
    "model.gradient_rule": ("None", None, None),
    "model.objective.init_args.class_weights": ("None", None, None),
    "model.optimization.max_grad_norm": ("None", None, None),
    "model.encoder.learnt_gate": ("True", True, True),
    "model.encoder.exits": ("[2.0, 3]", [2.0, 3], [2, 3]),
    "run_dir": ("None", None, None),
    "trainer.callbacks": ("None", None, None),
    "seed_everything": ("7.0", 7.0, 7),
    "exit_sweep.thresholds": ("{'entropy': [0.5]}", {"entropy": [0.5]}, {"entropy": [0.5]}),
}


def test_the_strings_of_a_wandb_agent(parse):
    parsed = parse(ACL, *(f"--{name}={text}" for name, (text, _, _) in SWEEP.items()))
    assert {name: parsed[name] for name in SWEEP} == {name: value for name, (_, _, value) in SWEEP.items()}
    assert parsed.model.objective.init_args.weight == 0.5


@pytest.mark.parametrize("form", [0, 1], ids=["strings", "typed"])
def test_the_json_file_of_a_wandb_agent(parse, tmp_path, form):
    path = tmp_path / "sweep-args.json"
    path.write_text(json.dumps({name: row[form] for name, row in SWEEP.items()}))
    parsed = parse(ACL, f"--config={path}")
    assert {name: parsed[name] for name in SWEEP} == {name: row[2] for name, row in SWEEP.items()}


def test_the_types_above_cover_the_configuration():
    """Every setting of plain type is of a type that is tested above, or is made of such types."""
    from acl_lightning.data import GLUEDataModule
    from acl_lightning.training.module import ACLModule

    parser = Parser(exit_on_error=False, parser_mode="omegaconf+")
    parser.add_class_arguments(ACLModule, "model", fail_untyped=False)
    parser.add_class_arguments(GLUEDataModule, "data", fail_untyped=False)
    plain = {member for typehint in [*TYPES, str] for member in members_of(typehint)}
    used = {m for action in parser._actions for m in members_of(getattr(action, "_typehint", int))}
    others = {m for m in used - plain if getattr(m, "__module__", "builtins") in {"builtins", "typing"}}
    assert {str(member) for member in others} <= {"list[str]", "typing.Any"} | {
        str(member) for member in used if getattr(member, "__origin__", None) is Literal
    }
