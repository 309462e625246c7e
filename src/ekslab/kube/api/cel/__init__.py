"""The Common Expression Language as Kubernetes speaks it: lexer, parser, checker, evaluator.

    text -> tokens (lexing) -> tree (parsing, macros) -> typed tree (checking) -> closures
    (evaluating), with an estimate of its cost beside it (costing)

Who uses it: `rules` for `x-kubernetes-validations` of custom resources, `conditions` for the match
conditions of webhooks and policies. Semantics, limits and words are those of cel-go and of
`k8s.io/apiserver/pkg/cel`; see docs/decisions/0012-our-own-cel.md for why the code is ours.
"""
