"""Keeps the rules of aggregated ClusterRoles (`admin`, `edit`, `view`, ...) complete."""
