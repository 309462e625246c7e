"""The Amazon EKS API, from botocore's service model."""
