"""What EKS puts into every cluster: default add-ons, its own RBAC, the storage class."""
