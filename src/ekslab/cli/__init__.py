"""The `ekslab` command."""
