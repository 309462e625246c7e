"""Controllers, a folder each: controller.py wires watches to keys, plan.py decides."""
