"""What a conformant Kubernetes shows, shown of ours.

`catalogue.yaml` has the behaviours; a test names those it shows: `@pytest.mark.conformance("id")`.
What no test names stands in `not_yet.yaml` with the reason. A run of the whole folder writes
docs/reference/conformance.md and the README's line.

Tests of the API ask over sockets (`api`, `kubectl`, the Python client), those of controllers,
scheduler and nodes live on virtual time (`running`), in files that end in `_running`.
"""
