"""Where both planes meet, as in real EKS."""
