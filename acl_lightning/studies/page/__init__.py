"""Report of a study as one HTML page without scripts and without files beside it."""

from acl_lightning.studies.page.document import page_html

__all__ = ["page_html"]
