"""A Kubernetes control plane and its nodes. Knows nothing of AWS."""
