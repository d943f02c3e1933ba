"""`python -m acl_lightning`."""

import sys

from acl_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
