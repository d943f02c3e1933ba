"""Studies: several runs compared in tables, figures and notes, with the provenance of every number.

Each study (`collect`, `curves`, `conflicts`, `embeddings`) reads runs (`reading`), groups those that differ in the seed
only (`grouping`, `settings`), averages over seeds (`statistics`) and returns a `Report`, which is written and printed.
`trials` runs the trials of a sweep, `comparison` makes tables of them, `page` a page. Only what reads stored logits
imports torch: `curves.stored_curves`, `comparison` and `page`.

Importing the package itself imports nothing, so that `trials` starts without matplotlib.
"""
