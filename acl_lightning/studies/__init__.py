"""Several runs side by side: `python -m acl_lightning.studies.collect RUN [RUN ...] --out DIR`.

A study meets its runs only through the files they leave: `run_record` reads them, `settings` says in what they differ,
`grouping` puts together those that differ in the seed alone, `spread` averages, `tables` and `report` write and print,
`curves` draws, `provenance` says where it all comes from. Nothing here needs torch. (`collect` is run with `-m` and so
must not be imported here.)
"""

from acl_lightning.studies.grouping import Group, comparisons, group_runs
from acl_lightning.studies.run_record import Run, UnfinishedRun, read_run
from acl_lightning.studies.spread import Spread, spread

__all__ = ["Group", "Run", "Spread", "UnfinishedRun", "comparisons", "group_runs", "read_run", "spread"]
