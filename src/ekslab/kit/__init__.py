"""What every room may use and what knows no domain: clocks, dice, ids, tasks, queues, logs."""
