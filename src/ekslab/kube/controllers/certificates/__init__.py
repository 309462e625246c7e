"""Approves the certificate requests of kubelets, issues what was approved, clears what is old."""
