"""API priority and fairness: which requests may run, wait or be refused when there are too many.

Every request over HTTP is of a flow: a FlowSchema picks the priority level, the user or namespace
tells flows of a schema apart. A level has seats; what finds none waits in one of the level's
queues, or is refused with 429.
"""
