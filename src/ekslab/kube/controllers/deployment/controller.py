"""The Deployment controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/deployment/deployment_controller.go`.
"""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import DEPLOYMENTS, PODS, REPLICA_SETS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.deployment import progress
from ekslab.kube.controllers.deployment.plan import Step, find_new, plan
from ekslab.kube.controllers.deployment.view import (
    REVISION,
    DeploymentView,
    SetView,
    same_template,
    view_deployment,
    view_set,
)
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.ownership import (
    Claims,
    claim,
    orphan_namespace,
    owner_reference,
    owner_uid,
)
from ekslab.kube.runtime.pods import PodFacts, PodIndex, controller_of
from ekslab.kube.runtime.selection import matcher


class DeploymentController(Controller[Key]):
    """Rolls deployments out through replica sets."""

    name: ClassVar[str] = "deployment-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._claims = Claims(tools.client, DEPLOYMENTS, REPLICA_SETS)
        self._pods = pods
        self._deployments = self.watch(DEPLOYMENTS, self._deployment_changed)
        self._sets = self.watch(REPLICA_SETS, self._set_changed)
        self._sets.add_index("owner", owner_uid)
        self._sets.add_index("orphan", orphan_namespace)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _deployment_changed(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        assert item is not None
        self.queue.add(item.key)

    def _set_changed(self, old: Item | None, new: Item | None) -> None:
        owners = {}
        for item in (old, new):
            if item is not None:
                owner = controller_of(item.object)
                owners[owner["uid"] if owner else ""] = (item, owner)
        for item, owner in owners.values():
            if owner is not None:
                self._add_owner(item.namespace, owner)
            elif item is new:
                for deployment in self._deployments.list(item.namespace):
                    if matcher(deployment.object["spec"].get("selector"))(item.labels):
                        self.queue.add(deployment.key)

    def _add_owner(self, namespace: str, owner: Object) -> None:
        if owner["kind"] != "Deployment":
            return
        deployment = self._deployments.get(namespace, owner["name"])
        if deployment is not None and deployment.uid == owner["uid"]:
            self.queue.add(deployment.key)

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        # Only Recreate waits for pods: for the last of the old ones to be gone.
        if new is not None and new.is_active:
            return
        pod = new or old
        assert pod is not None
        item = self._sets.get(pod.namespace, pod.owner_name)
        owner = controller_of(item.object) if item is not None else None
        if owner is None:
            return
        deployment = self._deployments.get(pod.namespace, owner["name"])
        if deployment is None:
            return
        if (deployment.object["spec"].get("strategy") or {}).get("type") == "Recreate":
            self.queue.add(deployment.key)

    async def reconcile(self, key: Key) -> Result:
        """Take the next step of a rollout."""
        item = self._deployments.get(*key)
        if item is None:
            return DONE
        obj = item.object
        if not any(obj["spec"]["selector"].values()):
            self.events.warning(
                obj, "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            )  # fmt: skip
            return DONE
        deployment = view_deployment(obj)
        sets = await self._claim(deployment)
        if "deletionTimestamp" in obj["metadata"]:
            status = progress.bare_status(deployment, sets, now_s=self.clock.now())
            await self._write_status(obj, status)
            return DONE
        step = plan(
            deployment,
            sets,
            owner_reference=owner_reference(obj),
            old_pods_run=self._old_pods_run(deployment, sets),
        )
        if not await self._carry_out(step):
            return DONE
        status = progress.status(step, now_s=self.clock.now())
        await self._write_status(obj, status, revision=step.revision)
        check_s = progress.stuck_check_s(deployment, status, now_s=self.clock.now())
        return Result(requeue_after_s=check_s)

    async def _claim(self, deployment: DeploymentView) -> list[SetView]:
        obj = deployment.obj
        meta = obj["metadata"]
        found = claim(
            self._sets.by_index("owner", meta["uid"]),
            self._sets.by_index("orphan", meta["namespace"]),
            matcher(obj["spec"]["selector"]),
        )
        adopted: list[Object] = []
        if (found.adopt or found.release) and "deletionTimestamp" not in meta:
            adopted = await self._claims.carry_out(obj, adopt=found.adopt, release=found.release)
        return [view_set(one) for one in (*(kept.object for kept in found.kept), *adopted)]

    def _old_pods_run(self, deployment: DeploymentView, sets: list[SetView]) -> bool:
        new = find_new(deployment, sets)
        return any(
            pod.phase not in {"Succeeded", "Failed"}
            for one in sets
            if one is not new
            for pod in self._pods.owned_by(one.obj["metadata"]["uid"])
        )

    async def _carry_out(self, step: Step) -> bool:
        """Write what the step says; False if the new set could not be made and that was noted."""
        obj = step.deployment.obj
        namespace = obj["metadata"]["namespace"]
        if step.create is not None and not await self._create(step):
            return False
        for update in step.updates:
            await self.client.update(REPLICA_SETS, editable(update.obj))
            if update.event:
                self.events.normal(obj, "ScalingReplicaSet", update.event)
        for gone in step.deletes:
            try:
                await self.client.delete(REPLICA_SETS, gone.name, namespace, uid=gone.uid)
            except ApiError as error:
                if error.code != 404:
                    raise
        return True

    async def _create(self, step: Step) -> bool:
        assert step.create is not None
        wanted, deployment = step.create.obj, step.deployment
        name = wanted["metadata"]["name"]
        try:
            await self.client.create(REPLICA_SETS, editable(wanted))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return await self._met_collision(deployment, wanted)
            message = f'Failed to create new replica set "{name}": {error.message}'
            causes = (error.details or {}).get("causes") or ()
            if not any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                status = progress.failed_status(deployment, message, now_s=self.clock.now())
                await self._write_status(deployment.obj, status)
                self.events.warning(deployment.obj, "ReplicaSetCreateError", message)
            raise
        if step.create.replicas > 0:
            message = f"Scaled up replica set {name} from 0 to {step.create.replicas}"
            self.events.normal(deployment.obj, "ScalingReplicaSet", message)
        return True

    async def _met_collision(self, deployment: DeploymentView, wanted: Object) -> bool:
        """A set of that name exists. If it is ours, our copy was old; else another hash is
        needed, and the deployment's status counts that.
        """
        meta = wanted["metadata"]
        found = await self.client.get(REPLICA_SETS, meta["name"], meta["namespace"])
        owner = controller_of(found)
        is_ours = owner is not None and owner["uid"] == deployment.obj["metadata"]["uid"]
        if is_ours and same_template(found["spec"]["template"], deployment.template):
            return True
        count = deployment.status.get("collisionCount", 0) + 1
        await self._write_status(deployment.obj, {**deployment.status, "collisionCount": count})
        return False

    async def _write_status(self, obj: Object, status: Object, *, revision: str = "") -> None:
        """Write the status, and the revision annotation with it: upstream writes both through the
        status door, where a change of annotations does not count as a new generation.
        """
        meta = obj["metadata"]
        annotations = meta.get("annotations") or {}
        if revision and annotations.get(REVISION) != revision:
            meta = {**meta, "annotations": {**annotations, REVISION: revision}}
        elif obj.get("status") == status:
            return
        new = editable({**obj, "metadata": meta, "status": status})
        await self.client.update(DEPLOYMENTS, new, subresource="status")
