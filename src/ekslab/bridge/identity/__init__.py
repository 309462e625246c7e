"""IAM login: from a token to a Kubernetes user, as aws-iam-authenticator and EKS do it."""
