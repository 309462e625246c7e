"""The scheduler: cluster state as columns, filters and scores as array operations."""
