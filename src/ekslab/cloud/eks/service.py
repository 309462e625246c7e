"""The EKS API as a function: operation and parameters in, JSON out.

Routed by botocore's model, so that every operation of it is known; those that are not served yet
say so by name, with an error of the API's own kind.
"""

import functools
from collections.abc import Callable, Mapping

import orjson

from ekslab.cloud.eks import access, clusters, nodegroups, tags, updates, versions
from ekslab.cloud.eks.requests import read_params
from ekslab.cloud.eks.state import Asked, EksState, Wire, page
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.routing import Route, service_model
from ekslab.cloud.identities import Caller
from ekslab.cloud.ports import AwsRequest, AwsResponse


def _no_addons(asked: Asked) -> Wire:
    asked.state.cluster(asked.params["clusterName"])
    return page(asked, [], "addons")


def _no_addon_versions(asked: Asked) -> Wire:
    return page(asked, [], "addons")


def _no_fargate_profiles(asked: Asked) -> Wire:
    asked.state.cluster(asked.params["clusterName"])
    return page(asked, [], "fargateProfileNames")


def _no_associations(asked: Asked) -> Wire:
    asked.state.cluster(asked.params["clusterName"])
    return page(asked, [], "associations")


def _no_provider_configs(asked: Asked) -> Wire:
    asked.state.cluster(asked.params["clusterName"])
    return page(asked, [], "identityProviderConfigs")


OPERATIONS: Mapping[str, Callable[[Asked], Wire]] = {
    "AssociateAccessPolicy": access.associate_access_policy,
    "CreateAccessEntry": access.create_access_entry,
    "CreateCluster": clusters.create_cluster,
    "CreateNodegroup": nodegroups.create_nodegroup,
    "DeleteAccessEntry": access.delete_access_entry,
    "DeleteCluster": clusters.delete_cluster,
    "DeleteNodegroup": nodegroups.delete_nodegroup,
    "DescribeAccessEntry": access.describe_access_entry,
    "DescribeAddonVersions": _no_addon_versions,
    "DescribeCluster": clusters.describe_cluster,
    "DescribeClusterVersions": versions.describe_cluster_versions,
    "DescribeNodegroup": nodegroups.describe_nodegroup,
    "DescribeUpdate": updates.describe_update,
    "DisassociateAccessPolicy": access.disassociate_access_policy,
    "ListAccessEntries": access.list_access_entries,
    "ListAccessPolicies": access.list_access_policies,
    "ListAddons": _no_addons,
    "ListAssociatedAccessPolicies": access.list_associated_access_policies,
    "ListClusters": clusters.list_clusters,
    "ListFargateProfiles": _no_fargate_profiles,
    "ListIdentityProviderConfigs": _no_provider_configs,
    "ListNodegroups": nodegroups.list_nodegroups,
    "ListPodIdentityAssociations": _no_associations,
    "ListTagsForResource": tags.list_tags_for_resource,
    "ListUpdates": updates.list_updates,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateAccessEntry": access.update_access_entry,
    "UpdateClusterConfig": clusters.update_cluster_config,
    "UpdateClusterVersion": clusters.update_cluster_version,
    "UpdateNodegroupConfig": nodegroups.update_nodegroup_config,
    "UpdateNodegroupVersion": nodegroups.update_nodegroup_version,
}


class EksService:
    """The EKS service of the account, in every region."""

    def __init__(self, state: EksState) -> None:
        self._state = state

    def call(
        self, request: AwsRequest, route: Route, *, caller: Caller, request_id: str
    ) -> AwsResponse:
        """Answer one request.

        Raises:
            AwsFault: it is refused.
        """
        if not route.action:
            raise AwsFault("UnknownOperationException", "Unknown operation", status=404)
        operation = OPERATIONS.get(route.action)
        if operation is None:
            raise AwsFault(
                "InvalidRequestException",
                f"{route.action} is an operation of EKS that ekslab does not serve yet.",
            )
        try:
            params = read_params(request, route)
            asked = Asked(self._state.in_region(route.region), route.action, params, caller)
            answer = operation(asked)
        except AwsFault as fault:
            raise _as_modelled(fault, route.action) from None
        return AwsResponse(
            200,
            (("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)),
            orjson.dumps(answer),
        )


def _as_modelled(fault: AwsFault, action: str) -> AwsFault:
    """A value that is not acceptable, by the name that the operation's model has for it."""
    if fault.code != "InvalidParameterException":
        return fault
    known = _errors(action)
    for code in (fault.code, "InvalidRequestException", "BadRequestException"):
        if code in known:
            return AwsFault(code, fault.message, fields=fault.fields)
    return fault


@functools.cache
def _errors(action: str) -> frozenset[str]:
    """The errors that the model gives to an operation."""
    model = service_model("eks")
    assert model is not None
    return frozenset(shape.name for shape in model.operation_model(action).error_shapes)
