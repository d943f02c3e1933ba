"""Comparison of the trials of a study: measures, paired tests over seeds and samples, and tables.

`specification` reads `table.yaml`, `trial_results` the run directories, `columns` and `cells` assign trials to methods
and columns, and select the setting of each method on the selection split, `measures` and `values` measure them,
`paired` tests differences, `tables`, `caption` and `formats` write them down, and `study` is the whole.
"""

from acl_lightning.studies.comparison.paired import PairedDifference, holm, paired_difference
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.comparison.study import TrialComparison, compare_trials

__all__ = [
    "PairedDifference",
    "TableSpecification",
    "TrialComparison",
    "compare_trials",
    "holm",
    "paired_difference",
]
