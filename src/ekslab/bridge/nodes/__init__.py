"""From node groups to nodes: launch template, Auto Scaling group, instances, node agents."""
