"""Field ownership: managedFields and server-side apply.

Imitates `sigs.k8s.io/structured-merge-diff` v4 and apimachinery `pkg/util/managedfields`.
`fieldset` is the algebra of sets of field paths, `comparing` finds what an object holds and what a
change touched, `merging` makes the object of an apply, `managers` keeps the list of managers.
"""
