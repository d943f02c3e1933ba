"""Studies: several runs compared in tables, figures and notes, with the provenance of every number.

Each study (`collect`, `curves`, `conflicts`, `embeddings`) reads runs (`reading`), groups those that differ in the seed
only (`grouping`, `settings`), averages over seeds (`statistics`) and returns a `Report`, which is written and printed.
`trials` runs the trials of a sweep, `comparison` makes tables of them, `page` a page. Only what reads stored logits
imports torch: `curves.stored_curves`, `comparison` and `page`.
"""

from acl_lightning.studies.grouping import Group, comparisons, group_runs
from acl_lightning.studies.reading import Run, UnfinishedRun, read_run
from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread, spread
from acl_lightning.studies.tables import Table

__all__ = [
    "Group",
    "Report",
    "Run",
    "Spread",
    "Table",
    "UnfinishedRun",
    "comparisons",
    "group_runs",
    "read_run",
    "spread",
]
