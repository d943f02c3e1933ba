"""Build step that ships `conf/` inside the installed package; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigurations(build_py):
    """Copies `conf/` to `acl_lightning/conf/` in a wheel. An editable install reads it where it lies."""

    def run(self) -> None:
        """Build the package, then copy the YAML files."""
        super().run()
        for source, target in self._configurations().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the paths of all files that the build writes."""
        return [*super().get_outputs(include_bytecode), *self._configurations().values()]

    def _configurations(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        return {str(path): str(Path(self.build_lib) / "acl_lightning" / path) for path in Path("conf").rglob("*.yaml")}


setup(cmdclass={"build_py": BuildWithConfigurations})
