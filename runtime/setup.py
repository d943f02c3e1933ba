"""Build step that copies the modules of the runtime from the repository; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = Path(__file__).resolve().parent.parent / "acl_lightning"

#: Modules of the runtime, relative to the package.
MODULES = [
    "__init__.py",
    "errors.py",
    "py.typed",
    *(path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "serving").rglob("*.py")),
]


class BuildRuntime(build_py):
    """Copies the modules of the runtime into the wheel."""

    def run(self) -> None:
        """Copy the files. Those of earlier builds are removed: modules that were renamed would stay in the wheel."""
        shutil.rmtree(Path(self.build_lib) / "acl_lightning", ignore_errors=True)
        for source, target in self._files().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the paths of all files that the build writes."""
        return list(self._files().values())

    def get_source_files(self) -> list[str]:
        """Return no files: the sources lie outside this directory."""
        return []

    def _files(self) -> dict[str, str]:
        return {str(PACKAGE / name): str(Path(self.build_lib) / "acl_lightning" / name) for name in MODULES}


setup(cmdclass={"build_py": BuildRuntime}, package_dir={"": ".."})
