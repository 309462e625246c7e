"""Structural schemas: what a CustomResourceDefinition says of its objects, as pure functions.

    nodes       the schema of a version, compiled once; as `kube.api.schema` types for ownership
    reading     bodies: unknown fields pruned and named, metadata checked, nulls dropped
    defaulting  defaults, on write and on read
    values      types, limits, patterns, unions, in upstream's words; what stayed is not asked again
    formats     `format: ipv4` and its like
    shapes      list sets and maps without duplicates, embedded objects

Upstream: apiextensions-apiserver `pkg/apiserver/schema` and kube-openapi `pkg/validation`.
"""
