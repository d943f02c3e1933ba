"""The house rules that a parser can check: imports run one way, third parties have a home, everything is explained.

The rules are read from the syntax trees, so that an import inside a function counts as one at the top of the file.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "acl_lightning"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

#: Full name of every module of this package -> its file.
MODULES = {
    ".".join(["acl_lightning", *Path(file).with_suffix("").parts]).removesuffix(".__init__"): file for file in FILES
}

#: Files that may name modules of this package in strings: lazily imported packages, and the table of commands.
MAY_IMPORT_BY_STRING = {"__init__.py", "exits/__init__.py", "cli/commands.py"}

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
    "tables": {"exits"},
    "exits/criteria": GROUND,
    "exits/evaluation": GROUND | {"exits/criteria", "metrics", "legacy"},
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
    "runs": {"", "exits", "exits/evaluation", "exits/criteria", "training", "data", "legacy", "files", "errors"},
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
        "tables",
        "runs",
        "files",
        "errors",
        "outputs",
        "",
    },
    "studies/stored_curves": {
        "studies",
        "runs",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "metrics",
        "outputs",
        "errors",
    },
    "studies/curves": {"studies", "studies/stored_curves", "figures", "errors"},
    "studies": {"figures", "runs", "files", "errors", ""},
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
        "tables",
        "files",
        "runs",
        "studies",
        "studies/curves",
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
    "lightning": {"training", "data/datamodule", "data/loaders", "callbacks", "cli"},
    "transformers": {"encoders", "data", "export", "demo", "latency"},
    "datasets": {"data"},
    "wandb": {"callbacks"},
    "omegaconf": {"cli", "studies", "runs/trust"},
    "jsonargparse": {"cli", "runs"},
    "matplotlib": {"figures", "callbacks", "studies"},
}


@cache
def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, those under `if TYPE_CHECKING` and inside functions included."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be read at a glance"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names | module_strings(path)


def module_strings(path: Path) -> set[str]:
    """Modules of this package that a file names in strings, where the file imports by string at all."""
    nodes = list(ast.walk(tree_of(path)))
    if not any(getattr(node, "id", getattr(node, "attr", "")) in {"import_module", "__import__"} for node in nodes):
        return set()
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if path.name == "__init__.py" and path.is_relative_to(PACKAGE):  # a lazy package may name its modules relatively
        package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        strings |= {f"{package}.{text}" for text in strings}
    return strings & MODULES.keys() - {"acl_lightning"}


@cache
def module_of(name: str) -> str:
    """The module that defines an imported name; packages are looked through. Empty for other packages' names."""
    parts = name.split(".")
    module = next((prefix for end in range(len(parts), 0, -1) if (prefix := ".".join(parts[:end])) in MODULES), "")
    if module.count(".") == 0 or not MODULES[module].endswith("__init__.py") or module == name:
        return module
    for node in ast.walk(tree_of(FILES[MODULES[module]])):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == parts[module.count(".") + 1]:
                    return module_of(f"{node.module}.{alias.name}")
    return module


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


def test_only_the_public_interface_and_the_table_of_commands_import_by_string():
    assert {file for file, path in FILES.items() if module_strings(path)} <= MAY_IMPORT_BY_STRING
    assert module_strings(FILES["cli/commands.py"])


def graph() -> dict[str, set[str]]:
    """Modules that each module imports. The names that a package hands on do not count as its imports."""
    edges = {}
    for module, file in MODULES.items():
        targets = {module_of(name) for name in imported(FILES[file])} - {"", module}
        own = f"{module}." if file.endswith("__init__.py") else None
        edges[module] = {target for target in targets if own is None or not target.startswith(own)}
    return edges


def cycle_in(edges: dict[str, set[str]]) -> list[str]:
    """The modules of an import cycle, in order; empty if there is none."""
    finished: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in finished:
            return []
        for target in sorted(edges[module]):
            if cycle := visit(target, [*trail, module]):
                return cycle
        finished.add(module)
        return []

    return next((cycle for module in sorted(edges) if (cycle := visit(module, []))), [])


def test_there_is_no_import_cycle():
    assert " -> ".join(cycle_in(graph())) == ""


def test_a_cycle_is_recognized():
    assert cycle_in({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imported_names_are_followed_to_the_module_that_defines_them():
    assert module_of("acl_lightning.exits.Criterion") == "acl_lightning.exits.criteria.base"
    assert module_of("acl_lightning.exits.inference.AdaptiveRuntime") == "acl_lightning.exits.inference.adaptive"
    assert module_of("acl_lightning.errors.UserError") == "acl_lightning.errors"
    assert module_of("acl_lightning.export") == "acl_lightning.export"
    assert module_of("lightning.pytorch") == ""


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
        "import importlib\nimport acl_lightning.cli\nfrom acl_lightning import training\n"
        "from acl_lightning.exits.inference import X\n"
        "def late():\n    from acl_lightning.data import Y\n    import lightning.pytorch as pl\n"
        "    importlib.import_module('acl_lightning.demo.page')\n"
    )
    assert ours(source) == {"cli", "training", "exits/inference", "data", "demo"}
    assert module_strings(source) == {"acl_lightning.demo.page"}
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
    tree = tree_of(FILES[file])
    assert ast.get_docstring(tree), f"{file} does not say what it is"
    assert undocumented(tree, file) == []


def test_rooms_list_what_they_export():
    """`__all__` of a room names exactly what its `__init__` imports, in order."""
    for file, path in FILES.items():
        tree = tree_of(path)
        lists = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        if file == "__init__.py" or not file.endswith("__init__.py") or not lists:
            continue  # the package's own names are imported lazily: see test_public_api.py
        lazy = [node for block in tree.body if is_for_type_checkers(block) for node in block.body]
        imports = [node for node in (lazy or tree.body) if isinstance(node, ast.ImportFrom)]
        names = {alias.asname or alias.name for node in imports for alias in node.names} - {"annotations"}
        assert set(lists[0]) == names, file


def is_for_type_checkers(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which lists the names that a package imports lazily."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
