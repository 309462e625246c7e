"""Every namespace has the ConfigMap `kube-root-ca.crt`, which pods verify the API server with."""
