"""`python -m acl_lightning`."""

from acl_lightning.cli import main

if __name__ == "__main__":
    main()
