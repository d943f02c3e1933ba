"""Rules of the architecture: allowed imports between packages, places of third-party imports, and docstrings.

The imports are read from the syntax trees, including imports inside functions.
"""

import ast
from collections import Counter
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

BASE = {"outputs", "errors", "files", "pretrained"}

#: Package or module -> packages that it may import beside itself. The longest matching name applies to a file.
MAY_IMPORT = {
    "outputs": set(),
    "errors": set(),
    "legacy": set(),
    "figures": set(),
    "files": {"errors"},
    "pretrained": {"errors"},
    "config_files": {"errors", "legacy"},
    "distributed": {"outputs"},
    "metrics": {"errors", "outputs"},
    "encoders": BASE,
    "objectives": BASE,
    "gradients": BASE | {"distributed"},
    "representation": BASE,
    "tables": {"exits", "exits/evaluation"},
    "exits/criteria": BASE,
    "exits/evaluation": BASE | {"exits/criteria", "metrics", "legacy"},
    "exits/inference": BASE | {"exits/criteria", "exits/evaluation", "encoders"},
    "exits": {"exits/criteria", "exits/evaluation"},
    "data": BASE | {"table_files"},
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
        "part_files",
        "errors",
        "outputs",
        "",
    },
    "studies/curves/stored_curves": {
        "studies",
        "runs",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "metrics",
        "outputs",
        "errors",
    },
    "studies/curves/comparison": {"studies", "studies/curves/stored_curves", "exits", "figures", "errors"},
    "studies/curves/study": {
        "studies",
        "studies/curves/comparison",
        "studies/curves/stored_curves",
        "figures",
        "errors",
    },
    "studies/comparison": {
        "studies",
        "studies/curves/stored_curves",
        "exits",
        "exits/evaluation",
        "runs",
        "files",
        "outputs",
        "errors",
    },
    "studies/page": {
        "studies",
        "studies/comparison",
        "studies/curves/stored_curves",
        "studies/curves/comparison",
        "studies/curves/study",
        "figures",
        "runs",
        "files",
        "errors",
        "",
    },
    "studies/trials": {"config_files", "runs", "errors", "files", ""},
    "studies": {"figures", "runs", "exits/evaluation", "files", "errors", ""},
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
    "export/onnx_package": {
        "data",
        "encoders",
        "exits",
        "exits/criteria",
        "exits/evaluation",
        "export",
        "files",
        "metrics",
        "outputs",
        "runs",
        "serving",
        "errors",
    },
    "serving": {"errors"},
    "serving/http": {"serving", "errors"},
    "part_files": {"errors"},
    "table_files": {"errors"},
    "scoring": {"serving", "table_files", "part_files", "errors"},
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
        "export/onnx_package",
        "latency",
        "serving",
        "serving/http",
        "legacy",
        "config_files",
        "metrics",
        "outputs",
        "figures",
        "scoring",
        "table_files",
        "tables",
        "files",
        "runs",
        "studies",
        "studies/comparison",
        "studies/curves/comparison",
        "studies/curves/study",
        "studies/page",
        "studies/trials",
        "training",
        "fit_command",
        "errors",
    },
    "fit_command": set(),
    "__main__": {"cli", "fit_command"},
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

#: Third-party library -> packages that may import it.
THIRD_PARTIES = {
    "lightning": {"training", "data/task_module", "data/loaders", "callbacks", "cli"},
    "transformers": {"encoders", "data", "export", "demo", "latency"},
    "datasets": {"data"},
    "wandb": {"callbacks"},
    "omegaconf": {"cli", "studies", "runs/trust"},
    "jsonargparse": {"cli", "runs"},
    "matplotlib": {"figures", "callbacks", "studies"},
    "sweeps": {"studies/trials"},
    "optuna": {"studies/trials"},
    "scipy": {"studies/comparison"},
    "jinja2": {"studies/page"},
    "markdown_it": {"studies/page"},
    "onnx": {"export/onnx_package"},
    "onnxscript": {"export/onnx_package"},
    "onnxruntime": {"serving", "export/onnx_package"},
    "tokenizers": {"serving"},
    "fastapi": {"serving/http"},
    "starlette": {"serving/http"},
    "pydantic": {"serving/http"},
    "uvicorn": {"serving/http"},
    "prometheus_client": {"serving/http"},
}


@cache
def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Full names that a file imports, including imports under `if TYPE_CHECKING` and inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names | module_strings(path)


def module_strings(path: Path) -> set[str]:
    """Modules of this package that a file names in strings, if the file calls `import_module` or `__import__`."""
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
    """The module that defines a name, also if a package re-exports it; empty for names of other libraries."""
    parts = name.split(".")
    module = next((prefix for end in range(len(parts), 0, -1) if (prefix := ".".join(parts[:end])) in MODULES), "")
    if module.count(".") == 0 or not MODULES[module].endswith("__init__.py") or module == name:
        return module
    for node in ast.walk(tree_of(FILES[MODULES[module]])):  # lazily imported names are listed under TYPE_CHECKING
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == parts[module.count(".") + 1]:
                    return module_of(f"{node.module}.{alias.name}")
    return module


def package_of(file: str, packages) -> str:
    """The most specific of `packages` that contains `file` ('exits/evaluation/record.py'); '' if there is none."""
    stem = file.removesuffix(".py")
    return max((name for name in packages if stem == name or stem.startswith(f"{name}/")), key=len, default="")


def imported_packages(path: Path) -> set[str]:
    """Packages of `acl_lightning` that a file imports; '' is `acl_lightning` itself, for its version."""
    names = (name.split(".")[1:] for name in imported(path) if name.split(".")[0] == "acl_lightning")
    return {package_of("/".join(parts), MAY_IMPORT) for parts in names}


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_allowed_packages(file):
    package = package_of(file, MAY_IMPORT)
    assert package, f"{file} belongs to no package; add its package to MAY_IMPORT"
    forbidden = imported_packages(FILES[file]) - MAY_IMPORT[package] - {package}
    assert not forbidden, f"{file} imports {forbidden}"


def test_only_the_public_interface_and_the_table_of_commands_import_by_string():
    assert {file for file, path in FILES.items() if module_strings(path)} <= MAY_IMPORT_BY_STRING
    assert module_strings(FILES["cli/commands.py"])


def graph() -> dict[str, set[str]]:
    """Modules that each module imports. Names that a package re-exports do not count as its imports."""
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


def test_import_cycles_are_detected():
    assert cycle_in({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_names_are_traced_to_the_module_that_defines_them():
    assert module_of("acl_lightning.exits.Criterion") == "acl_lightning.exits.criteria.base"
    assert module_of("acl_lightning.exits.inference.AdaptiveRuntime") == "acl_lightning.exits.inference.adaptive"
    assert module_of("acl_lightning.errors.UserError") == "acl_lightning.errors"
    assert module_of("acl_lightning.export") == "acl_lightning.export"
    assert module_of("lightning.pytorch") == ""


@pytest.mark.parametrize("library", THIRD_PARTIES)
def test_third_party_libraries_are_imported_in_their_packages_only(library):
    users = {file for file, path in FILES.items() if library in {name.split(".")[0] for name in imported(path)}}
    forbidden = {file for file in users if not package_of(file, THIRD_PARTIES[library])}
    assert not forbidden


def test_every_rule_applies_to_an_existing_package_or_library():
    assert set(MAY_IMPORT) == {package_of(file, MAY_IMPORT) for file in FILES}
    used = {name.split(".")[0] for path in FILES.values() for name in imported(path)}
    assert set(THIRD_PARTIES) - {"wandb"} <= used


def test_every_form_of_import_is_detected(tmp_path):
    source = tmp_path / "example.py"
    source.write_text(
        "import importlib\nimport acl_lightning.cli\nfrom acl_lightning import training\n"
        "from acl_lightning.exits.inference import X\n"
        "def late():\n    from acl_lightning.data import Y\n    import lightning.pytorch as pl\n"
        "    importlib.import_module('acl_lightning.demo.page')\n"
    )
    assert imported_packages(source) == {"cli", "training", "exits/inference", "data", "demo"}
    assert module_strings(source) == {"acl_lightning.demo.page"}
    assert "lightning.pytorch" in imported(source)


def undocumented(scope: ast.Module | ast.ClassDef, owner: str) -> list[str]:
    """Public definitions without a docstring. A property may be documented under `Attributes:` of its class."""
    attributes = (ast.get_docstring(scope) or "").partition("Attributes:")[2]
    missing = []
    for node in scope.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and f"{node.name}:" not in attributes:
            missing.append(f"{owner}.{node.name}")
        if isinstance(node, ast.ClassDef):
            missing += undocumented(node, f"{owner}.{node.name}")
    return missing


@pytest.mark.parametrize("file", FILES)
def test_everything_public_has_a_docstring(file):
    tree = tree_of(FILES[file])
    assert ast.get_docstring(tree), f"{file} has no docstring"
    assert undocumented(tree, file) == []


def test_packages_list_their_exports():
    """`__all__` of a package contains exactly the names that its `__init__` imports."""
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


def test_files_of_tests_have_distinct_names():
    """The folders of the tests are no packages, so that pytest imports a file by its name alone."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"conftest.py"}
