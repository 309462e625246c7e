"""The load and the peers: measures the budgets of the design. Not part of the package."""
