"""Generated data in the format of the nine GLUE tasks, with a known difficulty of every sample.

It serves to try a method without a download, and to measure whether early exits spend more layers on difficult samples.
The generator is a construction of this package; results on it are not results on GLUE.
"""

from acl_lightning.data.synthetic.generate import generate_split

__all__ = ["generate_split"]
