"""The public interface of the package: its names, and what importing it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import acl_lightning

SOURCE = Path(acl_lightning.__file__)


def names_for_type_checkers() -> set[str]:
    """Names that `acl_lightning/__init__.py` imports under `if TYPE_CHECKING`."""
    blocks = [node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_the_import_loads_no_large_library():
    code = "import sys, acl_lightning; acl_lightning.UserError; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "acl_lightning.errors" in loaded
    assert not loaded & {"torch", "transformers", "lightning", "numpy", "matplotlib", "datasets"}


def test_type_checkers_see_the_names_that_are_imported_lazily():
    names = set(acl_lightning.__all__) - {"__version__"}
    assert names_for_type_checkers() == names
    assert set(acl_lightning._LOCATIONS) == names


@pytest.mark.parametrize("name", acl_lightning.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(acl_lightning, name)
    assert name == "__version__" or value.__doc__
    assert name in dir(acl_lightning)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = acl_lightning.nothing
