"""The first transcript of the README: what a user types after `ekslab up`."""

import re
import subprocess

from tests.e2e.lab import Lab


def test_three_nodes_stand_in_three_zones(lab: Lab) -> None:
    shown = lab.kubectl("get nodes -o wide")
    rows = shown.splitlines()
    assert re.split(r"\s{2,}", rows[0].strip()) == [
        "NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE",
        "KERNEL-VERSION", "CONTAINER-RUNTIME",
    ]  # fmt: skip
    assert len(rows) == 4
    assert all(re.match(r"ip-10-0-\d+-\d+\.ec2\.internal\s+Ready\s+<none>\s", r) for r in rows[1:])
    zones = lab.kubectl(
        r"get nodes -o 'jsonpath={.items[*].metadata.labels.topology\.kubernetes\.io/zone}'"
    )
    assert len(set(zones.split())) == 3


def test_a_deployment_rolls_out_and_is_exposed(lab: Lab) -> None:
    assert (
        lab.kubectl("create deployment web --image=nginx --replicas=6")
        == "deployment.apps/web created\n"
    )
    assert 'deployment "web" successfully rolled out' in lab.kubectl(
        "rollout status deployment/web --timeout=60s"
    )
    assert lab.kubectl("expose deployment web --port=80") == "service/web exposed\n"
    lab.eventually(
        lambda: len(lab.kubectl("get endpointslices -l kubernetes.io/service-name=web "
                                "-o jsonpath={.items[*].endpoints[*].addresses}").split()) == 6
    )  # fmt: skip
    shown = lab.kubectl("get pods,svc,endpointslices -o wide")
    running = r"^pod/web-\S+\s+1/1\s+Running\s+0\s+\S+\s+(10\.0\.\S+)\s"
    pods = re.findall(running, shown, re.MULTILINE)
    assert len(set(pods)) == 6
    assert re.search(
        r"service/web\s+ClusterIP\s+172\.20\.\S+\s+<none>\s+80/TCP\s+\S+\s+app=web", shown
    )
    addresses = lab.aws(
        "ec2 describe-network-interfaces --query"
        " NetworkInterfaces[].PrivateIpAddresses[].PrivateIpAddress"
    )
    assert set(pods) <= set(addresses)


def test_the_cluster_is_known_to_aws(lab: Lab) -> None:
    assert lab.aws("eks list-clusters") == {"clusters": ["lab"]}
    cluster = lab.aws("eks describe-cluster --name lab")["cluster"]
    assert cluster["status"] == "ACTIVE"
    assert cluster["endpoint"].startswith("https://127.0.0.1:")
    assert cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.20.0.0/16"


def test_aws_logs_kubectl_in_as_well(lab: Lab) -> None:
    """The kubeconfig that `aws eks update-kubeconfig` writes, with `aws eks get-token`."""
    config = lab.home / "aws-kubeconfig"
    shown = lab.aws(f"eks update-kubeconfig --name lab --kubeconfig {config}")
    assert "Added new context arn:aws:eks:us-east-1:123456789012:cluster/lab" in shown
    who = lab.kubectl(f"--kubeconfig {config} auth whoami")
    assert re.search(r"Username\s+arn:aws:iam::123456789012:user/ekslab", who)


def test_kube_system_holds_what_eks_puts_there(lab: Lab) -> None:
    lab.eventually(lambda: "2/2" in lab.kubectl("-n kube-system get deployment coredns"))
    for name in ("aws-node", "kube-proxy"):
        ready = rf"{name}\s+3\s+3\s+3\s+3\s+3"
        lab.eventually(
            lambda ready=ready: re.search(ready, lab.kubectl("-n kube-system get daemonsets"))
        )
    dns = lab.kubectl("get pod -n kube-system -l k8s-app=kube-dns -o wide")
    assert dns.count("Running") == 2
    endpoints = lab.kubectl("-n kube-system get endpoints kube-dns")
    assert re.search(r"kube-dns\s+10\.0\.\d+\.\d+:", endpoints)
    services = lab.kubectl("get services -A")
    assert re.search(
        r"kube-system\s+kube-dns\s+ClusterIP\s+172\.20\.0\.10\s+<none>\s+53/UDP,53/TCP,9153/TCP",
        services,
    )
    assert re.search(
        r"default\s+kubernetes\s+ClusterIP\s+172\.20\.0\.1\s+<none>\s+443/TCP", services
    )


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: applied, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: applied}}
  template:
    metadata: {labels: {app: applied}}
    spec:
      containers:
      - {name: main, image: busybox, command: [sleep, "3600"]}
"""


def test_what_beginners_are_taught_works(lab: Lab) -> None:
    assert lab.kubectl("apply -f -", stdin=DEPLOYMENT) == "deployment.apps/applied created\n"
    assert lab.kubectl("apply -f -", stdin=DEPLOYMENT) == "deployment.apps/applied unchanged\n"
    changed = DEPLOYMENT.replace("replicas: 1", "replicas: 2")
    assert lab.kubectl("apply -f -", stdin=changed) == "deployment.apps/applied configured\n"
    lab.kubectl("wait --for=condition=Available deployment/applied --timeout=60s")
    assert (
        lab.kubectl("scale deployment applied --replicas=3") == "deployment.apps/applied scaled\n"
    )
    lab.kubectl("rollout status deployment/applied --timeout=60s")
    pod = lab.kubectl("get pods -l app=applied -o jsonpath={.items[0].metadata.name}")
    assert re.search(rf"{pod}\s+1/1\s+Running", lab.kubectl(f"get pod {pod}"))
    described = lab.kubectl(f"describe pod {pod} -n default")
    assert "Successfully assigned default/" in described
    assert re.search(r"Status:\s+Running", described)
    assert "kind: Pod" in lab.kubectl(f"get pod {pod} -n default -o yaml")
    assert "simulated" in lab.kubectl(f"logs {pod} -n default")
    assert "Scaled up replica set" in lab.kubectl("get events")
    assert "Kubelet Version" in lab.kubectl("describe nodes")
    assert lab.kubectl("delete deployment applied") == 'deployment.apps "applied" deleted\n'
    lab.eventually(
        lambda: "No resources" in lab.run("sh", "-c", "kubectl get pods -l app=applied 2>&1")
    )


def test_the_api_explains_itself(lab: Lab) -> None:
    assert "FIELD: containers" in lab.kubectl("explain pod.spec.containers")
    resources = lab.kubectl("api-resources")
    assert re.search(r"deployments\s+deploy\s+apps/v1\s+true\s+Deployment", resources)
    assert '"gitVersion": "v1.' in lab.kubectl("get --raw /version")
    assert lab.kubectl("auth can-i create pods") == "yes\n"
    assert re.search(r"^Resources\s+Non-Resource URLs", lab.kubectl("auth can-i --list"))
    described = lab.kubectl("describe service kubernetes -n default")
    assert re.search(r"^IP:\s+172\.20\.0\.1$", described, re.MULTILINE)
    assert re.search(
        r"^Endpoints:\s+10\.0\.\d+\.\d+:443,10\.0\.\d+\.\d+:443$", described, re.MULTILINE
    )


def test_pods_are_watched_as_they_come(lab: Lab) -> None:
    lab.kubectl("run watched --image=busybox --command -- sleep 60")
    with subprocess.Popen(
        ["kubectl", "get", "pod", "watched", "-w", "--no-headers"],
        stdout=subprocess.PIPE,
        text=True,
        env=lab.environment,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("watched")
        lab.kubectl("delete pod watched --wait=false")
        assert any("Terminating" in line for line in watching.stdout)
        watching.kill()
