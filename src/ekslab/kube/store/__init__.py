"""Revisioned storage with the semantics of etcd."""
