"""The house rules that a parser can check: imports run one way, third parties have a home, everything is explained.

The rules are read from the syntax trees, so that an import inside a function counts as one at the top of the file.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "acl_lightning"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

GROUND = {"outputs", "errors", "files", "pretrained"}

#: Package or module (the longest match counts) -> what of ours it may import beside itself.
MAY_IMPORT = {
    "outputs": set(),
    "errors": set(),
    "legacy": set(),
    "figures": set(),
    "files": {"errors"},
    "pretrained": {"errors"},
    "distributed": {"outputs"},
    "metrics": {"errors", "outputs"},
    "encoders": GROUND,
    "objectives": GROUND,
    "gradients": GROUND | {"distributed"},
    "representation": GROUND,
    "exits/criteria": GROUND,
    "exits/evaluation": GROUND | {"exits/criteria", "metrics"},
    "exits/inference": GROUND | {"exits/criteria", "exits/evaluation", "encoders"},
    "exits": {"exits/criteria", "exits/evaluation"},
    "data": GROUND,
    "training": {
        "encoders",
        "objectives",
        "gradients",
        "exits/inference",
        "metrics",
        "distributed",
        "errors",
        "outputs",
        "pretrained",
    },
    "runs": {"exits/criteria", "training", "data", "legacy", "files", "errors"},
    "callbacks": {
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "exits/inference",
        "gradients",
        "objectives",
        "representation",
        "encoders",
        "training",
        "distributed",
        "figures",
        "runs",
        "files",
        "errors",
        "outputs",
        "",
    },
    "studies/comparison": {
        "studies",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "metrics",
        "outputs",
        "figures",
        "files",
        "errors",
    },
    "studies": {"cli", "figures", "files", "errors", ""},
    "export": {
        "encoders",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "exits/inference",
        "legacy",
        "runs",
        "files",
        "errors",
    },
    "latency": {
        "encoders",
        "data",
        "exits",
        "exits/evaluation",
        "exits/inference",
        "export",
        "runs",
        "figures",
        "files",
        "pretrained",
        "errors",
    },
    "demo": {
        "encoders",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "exits/inference",
        "export",
        "runs",
        "errors",
    },
    "registration": set(),
    "cli": {
        "callbacks",
        "data",
        "demo",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "exits/inference",
        "export",
        "latency",
        "legacy",
        "metrics",
        "outputs",
        "figures",
        "files",
        "runs",
        "studies",
        "studies/comparison",
        "training",
        "errors",
    },
    "__main__": {"cli"},
    # The public interface, imported lazily.
    "__init__": {
        "data",
        "encoders",
        "errors",
        "exits",
        "exits/evaluation",
        "exits/inference",
        "figures",
        "gradients",
        "objectives",
        "outputs",
        "runs",
        "training",
    },
}

#: Third party -> where it may be imported.
HOMES = {
    "lightning": {"training", "data/datamodule", "data/workers", "callbacks", "cli"},
    "transformers": {"encoders", "data", "export", "demo", "latency"},
    "datasets": {"data"},
    "wandb": {"callbacks"},
    "omegaconf": {"cli", "studies", "runs/trust"},
    "jsonargparse": {"cli", "runs"},
    "matplotlib": {"figures", "callbacks", "studies"},
}


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, those under `if TYPE_CHECKING` and inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be read at a glance"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(file: str, rooms) -> str:
    """The most special of `rooms` that `file` ('exits/runtime.py') belongs to; '' for what is in none."""
    stem = file.removesuffix(".py")
    return max((name for name in rooms if stem == name or stem.startswith(f"{name}/")), key=len, default="")


def ours(path: Path) -> set[str]:
    """Rooms of this package that a file imports; '' is the package itself, for its version."""
    names = (name.split(".")[1:] for name in imported(path) if name.split(".")[0] == "acl_lightning")
    return {room("/".join(parts), MAY_IMPORT) for parts in names}


@pytest.mark.parametrize("file", FILES)
def test_imports_run_one_way(file):
    home = room(file, MAY_IMPORT)
    assert home, f"{file} is in no room; give it a line in MAY_IMPORT"
    forbidden = ours(FILES[file]) - MAY_IMPORT[home] - {home}
    assert not forbidden, f"{file} imports {forbidden}"


@pytest.mark.parametrize("party", HOMES)
def test_third_parties_stay_at_home(party):
    users = {file for file, path in FILES.items() if party in {name.split(".")[0] for name in imported(path)}}
    strangers = {file for file in users if not room(file, HOMES[party])}
    assert not strangers


def test_every_rule_is_about_something():
    """A rule for a room that is gone, or for a party that nobody uses, guards nothing."""
    assert set(MAY_IMPORT) == {room(file, MAY_IMPORT) for file in FILES}
    used = {name.split(".")[0] for path in FILES.values() for name in imported(path)}
    assert set(HOMES) - {"wandb"} <= used


def test_the_rules_see_what_they_forbid(tmp_path):
    """The reader of imports, against a file with one import of every form."""
    source = tmp_path / "example.py"
    source.write_text(
        "import acl_lightning.cli\nfrom acl_lightning import training\nfrom acl_lightning.exits.inference import X\n"
        "def late():\n    from acl_lightning.data import Y\n    import lightning.pytorch as pl\n"
    )
    assert ours(source) == {"cli", "training", "exits/inference", "data"}
    assert "lightning.pytorch" in imported(source)


def undocumented(scope: ast.Module | ast.ClassDef, owner: str) -> list[str]:
    """Public definitions without a docstring; an entry under the class's `Attributes:` does for a property."""
    attributes = (ast.get_docstring(scope) or "").partition("Attributes:")[2]
    found = []
    for node in scope.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and f"{node.name}:" not in attributes:
            found.append(f"{owner}.{node.name}")
        if isinstance(node, ast.ClassDef):
            found += undocumented(node, f"{owner}.{node.name}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_everything_public_is_explained(file):
    tree = ast.parse(FILES[file].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{file} does not say what it is"
    assert undocumented(tree, file) == []


def test_rooms_list_what_they_export():
    """`__all__` of a room names exactly what its `__init__` imports, in order."""
    for file, path in FILES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lists = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        if file == "__init__.py" or not file.endswith("__init__.py") or not lists:
            continue  # the package's own names are imported lazily: see test_public_api.py
        names = {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        } - {"annotations"}
        assert set(lists[0]) == names, file
