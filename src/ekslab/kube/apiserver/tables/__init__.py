"""Tables: what `kubectl get` prints, made by the server as upstream's printers make it.

Imitates `pkg/printers/internalversion` (columns and cells of every built-in kind) and, for kinds
without a printer, `registry/rest/table.go`. The pipeline turns cells into `meta.k8s.io/v1 Table`.
"""

from ekslab.kube.apiserver.tables.printing import columns, row_cells

__all__ = ["columns", "row_cells"]
