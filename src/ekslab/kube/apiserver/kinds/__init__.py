"""What the API server knows of each kind: defaults, upkeep, validation, selectable fields."""

from ekslab.kube.apiserver.kinds.registry import deprecation, strategy_for
from ekslab.kube.apiserver.kinds.strategy import Strategy

__all__ = ["Strategy", "deprecation", "strategy_for"]
