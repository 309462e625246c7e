"""Clusters and labs for tests: in one process, one plain asyncio loop, on virtual time.

    from ekslab.testing import TestCluster, run_virtual

    def test_a_deployment_gets_its_pods() -> None:
        async def scenario(cluster: TestCluster) -> None:
            await cluster.admin.create(DEPLOYMENTS, deployment("web", replicas=3))
            await cluster.until(lambda: cluster.ready_pods() == 3)

        run_virtual(scenario, nodes=2)

Time jumps whenever everybody waits, so that a day takes seconds, and one seed gives one history.
`ekslab.testing.lab` does the same for a whole account with its EKS clusters.
"""

from ekslab.testing.cluster import TestCluster, run_virtual

__all__ = ["TestCluster", "run_virtual"]
