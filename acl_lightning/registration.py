"""`import acl_lightning` makes exported models known to transformers, without importing it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

#: The module that defines `AutoConfig`; the configuration is registered there once it has been imported.
AUTO_CONFIG = "transformers.models.auto.configuration_auto"
OUR_CONFIG = "acl_lightning.export.config"


def register_when_imported() -> None:
    """Register `MultiExitConfig` with transformers' `AutoConfig`: now if that is imported, else as soon as it is.

    Importing transformers takes seconds, which a program that never loads an exported model need not spend. So where
    it has not been imported yet, a finder on `sys.meta_path` waits for the one module that matters, and then leaves.
    The model class follows when the first configuration is built (see `MultiExitConfig`).
    """
    if AUTO_CONFIG in sys.modules:
        importlib.import_module(OUR_CONFIG)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting(MetaPathFinder):
    """Finds nothing itself; lets the others find `AUTO_CONFIG` and has its loader call on us when it is done."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders give for `AUTO_CONFIG`, with our loader around theirs."""
        if fullname != AUTO_CONFIG:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec.loader)
        return spec


class _ThenRegister(Loader):
    """A loader that registers our configuration after the module has run."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader inside."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the loader inside, and then ours."""
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        importlib.import_module(OUR_CONFIG)
