"""Studies: several runs compared in tables, figures and notes, with the provenance of every number.

Each study (`collect`, `curves`, `conflicts`, `embeddings`) reads runs (`reading`), groups those that differ in the seed
only (`grouping`, `settings`), averages over seeds (`statistics`) and returns a `Report`, which is written and printed.
Only `stored_curves`, which sweeps the stored logits of a run again, imports torch.

Importing the package itself imports nothing, so that `trials` starts without matplotlib.
"""
