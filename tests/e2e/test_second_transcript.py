"""The second transcript: a cluster by hand, with roles, subnets and all from the AWS API."""

import json
import re
from typing import Any

from tests.e2e.lab import Lab

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "eks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def private_subnets(lab: Lab) -> list[str]:
    found: list[str] = lab.aws(
        "ec2 describe-subnets --filters Name=tag-key,Values=kubernetes.io/role/internal-elb"
        " --query Subnets[].SubnetId"
    )
    return found


def instances(lab: Lab, cluster: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.aws(
        f"ec2 describe-instances --filters Name=tag:eks:cluster-name,Values={cluster}"
        " Name=instance-state-name,Values=running --query Reservations[].Instances[]"
    )
    return found


def test_a_cluster_is_made_used_and_deleted_by_hand(lab: Lab) -> None:
    role = lab.aws(
        "iam create-role --role-name dev-cluster --query Role.Arn --assume-role-policy-document "
        f"'{json.dumps(TRUST)}'"
    )
    subnets = private_subnets(lab)
    made = lab.aws(
        f"eks create-cluster --name dev --role-arn {role}"
        f" --resources-vpc-config subnetIds={','.join(subnets)}"
    )
    assert made["cluster"]["status"] == "CREATING"
    lab.aws("eks wait cluster-active --name dev")

    config = lab.home / "dev-kubeconfig"
    lab.aws(f"eks update-kubeconfig --name dev --kubeconfig {config}")
    kubectl = f"--kubeconfig {config}"
    assert re.search(r"kubernetes\s+ClusterIP\s+172\.20\.0\.1", lab.kubectl(f"{kubectl} get svc"))

    group = lab.aws(
        "eks create-nodegroup --cluster-name dev --nodegroup-name a"
        " --node-role arn:aws:iam::123456789012:role/ekslab-node-role"
        f" --subnets {' '.join(subnets)} --scaling-config minSize=1,maxSize=5,desiredSize=3"
    )
    assert group["nodegroup"]["status"] == "CREATING"
    lab.eventually(
        lambda: (
            lab.aws(
                "eks describe-nodegroup --cluster-name dev --nodegroup-name a"
                " --query nodegroup.status"
            )
            == "ACTIVE"
        )
    )
    names = lab.kubectl(f"{kubectl} get nodes -o name").split()
    assert len(names) == 3
    running = instances(lab, "dev")
    assert {f"node/{one['PrivateDnsName']}" for one in running} == set(names)
    assert len({one["Placement"]["AvailabilityZone"] for one in running}) == 3

    victim = running[0]
    lab.aws(f"ec2 terminate-instances --instance-ids {victim['InstanceId']}")
    gone = f"node/{victim['PrivateDnsName']}"
    lab.eventually(lambda: gone not in lab.kubectl(f"{kubectl} get nodes -o name").split())
    lab.eventually(lambda: len(lab.kubectl(f"{kubectl} get nodes -o name").split()) == 3)
    events = lab.kubectl(f"{kubectl} get events -A")
    assert "NodeNotReady" in events
    assert victim["InstanceId"] not in {one["InstanceId"] for one in instances(lab, "dev")}

    refused = lab.aws_refuses("eks delete-cluster --name dev")
    assert "ResourceInUseException" in refused
    assert "Cluster has nodegroups attached" in refused
    lab.aws("eks delete-nodegroup --cluster-name dev --nodegroup-name a")
    lab.aws("eks wait nodegroup-deleted --cluster-name dev --nodegroup-name a")
    assert instances(lab, "dev") == []
    lab.aws("eks delete-cluster --name dev")
    lab.aws("eks wait cluster-deleted --name dev")
    assert "dev" not in lab.aws("eks list-clusters")["clusters"]
    assert "ResourceNotFoundException" in lab.aws_refuses("eks describe-cluster --name dev")
