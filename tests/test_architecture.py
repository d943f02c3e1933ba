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

#: Room (or file, which goes first) -> what of ours it may import beside itself.
MAY_IMPORT = {
    "outputs": set(),
    "errors": set(),
    "figures": set(),
    "files": {"errors"},
    "pretrained": {"errors"},
    "run_directory": {"errors"},
    "runs": {"run_directory", "files", "errors"},
    "metrics": {"errors", "outputs"},
    "allocator": set(),
    "points_table": set(),
    "run_result": {"errors", "files"},
    "points": {"arguments", "exits", "metrics", "points_table", "run_result", "errors"},
    "checkpoint_identity": {"errors"},
    "encoders": GROUND,
    "objectives": GROUND,
    "gradients": GROUND,
    "representation": GROUND,
    "exits/runtime": GROUND | {"encoders"},
    "exits": GROUND,
    "data": GROUND,
    "optimization": {"errors"},
    "stages": {"encoders", "objectives", "optimization", "errors", "outputs"},
    "exit_module": {"encoders", "exits/runtime", "metrics", "errors", "outputs", "pretrained"},
    "module": {
        "exit_module",
        "stages",
        "encoders",
        "objectives",
        "gradients",
        "optimization",
        "errors",
        "allocator",
        "checkpoint_identity",
    },
    "callbacks": {
        "exits",
        "exits/runtime",
        "gradients",
        "objectives",
        "representation",
        "figures",
        "files",
        "errors",
        "outputs",
        "encoders",
        "points_table",
        "run_result",
        "runs",
        "",
    },
    "studies/comparison": {"studies", "arguments", "exits", "metrics", "outputs", "figures", "files", "errors"},
    "studies": {"arguments", "figures", "files", "errors", ""},
    "arguments": {"errors"},
    "sections": {"errors"},
    "parsing": {"errors", "trust"},
    "trust": {"exits", "run_directory", "errors"},
    "saved_run": {"module", "data", "run_directory", "run_result", "sections", "trust", "errors"},
    "multi_exit_config": set(),
    "export": {
        "arguments",
        "encoders",
        "exits",
        "exits/runtime",
        "multi_exit_config",
        "saved_run",
        "files",
        "errors",
    },
    "latency": {
        "arguments",
        "encoders",
        "data",
        "exits",
        "exits/runtime",
        "export",
        "saved_run",
        "figures",
        "files",
        "pretrained",
        "errors",
    },
    "demo": {
        "arguments",
        "encoders",
        "exits",
        "exits/runtime",
        "export",
        "multi_exit_config",
        "saved_run",
        "run_directory",
        "errors",
    },
    "registration": set(),
    "commands": set(),
    "cli": {
        "arguments",
        "callbacks",
        "commands",
        "data",
        "module",
        "parsing",
        "run_directory",
        "runs",
        "sections",
        "trust",
        "errors",
    },
    "__main__": {"cli"},
    "__init__": {"registration"},
}

#: Third party -> where it may be imported.
HOMES = {
    "lightning": {"exit_module", "module", "data/datamodule", "data/workers", "callbacks", "cli", "parsing"},
    "transformers": {"encoders", "data", "export", "demo", "latency", "multi_exit_config"},
    "datasets": {"data"},
    "wandb": {"callbacks"},
    "omegaconf": {"cli", "studies", "trust"},
    "jsonargparse": {"cli", "parsing", "sections", "saved_run", "trust"},
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
    if home == "exits/runtime":
        forbidden -= {"exits"}
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
        "import acl_lightning.cli\nfrom acl_lightning import module\nfrom acl_lightning.exits.runtime import X\n"
        "def late():\n    from acl_lightning.data import Y\n    import lightning.pytorch as pl\n"
    )
    assert ours(source) == {"cli", "module", "exits/runtime", "data"}
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
        if not file.endswith("__init__.py") or not lists:
            continue
        names = {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        } - {"annotations"}
        assert set(lists[0]) == names, file
