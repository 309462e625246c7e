"""What controllers share: work queue, reconcile contract, events."""
