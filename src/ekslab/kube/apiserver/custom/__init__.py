"""Custom resources: what a CustomResourceDefinition makes the API server serve.

    controller   names accepted, established, finalized; keeps the registry as the definitions are
    serving      a definition's versions as resources of the registry, and what is stored as served
    strategy     the rules of custom objects
    printing     their tables
    publishing   their OpenAPI documents

Nothing here is loaded before a cluster has its first definition. Upstream: apiextensions-apiserver
`pkg/apiserver/customresource_handler.go` and `pkg/controller`.
"""
