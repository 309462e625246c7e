"""Says of each PodDisruptionBudget how many of its pods may be evicted now."""
