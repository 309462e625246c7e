"""The bridge as a client of AWS: a thin signed client, and the mirror of the change feed."""
