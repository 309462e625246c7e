"""The AWS plane. Knows nothing of Kubernetes."""
