"""Message for packages that are not installed: the extra `serve`."""

from __future__ import annotations

from acl_lightning.errors import UserError

#: Modules of the extra whose distributions have other names.
_DISTRIBUTIONS = {"starlette": "fastapi", "prometheus_client": "prometheus-client"}


def missing_package(error: ImportError) -> UserError:
    """Return the error for a module that cannot be imported.

    Args:
        error: Raised by the import.
    """
    name = _DISTRIBUTIONS.get(str(error.name), str(error.name))
    return UserError(f"the package {name}", "none", "Install it: pip install 'acl-lightning[serve]'")
