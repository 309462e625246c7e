"""The functions of CEL and of Kubernetes' extensions to it, one module per library."""
