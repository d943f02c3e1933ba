"""`python -m acl_lightning study COMMAND`: a file for every command."""
