"""Kubernetes manifests: valid, confined, complete, and large enough for the recipes that they run.

Kubernetes' own kinds are checked against its published schemas, pod templates inside Ray's resources too. Of Ray's resources
themselves only the fields that are used here are known (RAY_JOB and its like below), as KubeRay defines them in
ray-operator/apis/ray/v1: whoever uses another one adds it, after a look there.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from contracts.recipe import load_recipe
from rltf.placement import plan
from rltf.roles import roles_of
from rltf.rooms import Node
from rltf.submit import RUNTIME_ENV
from tests.kustomize import Object, render

ROOT = Path(__file__).resolve().parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
VERSION = "1.34"
SECRETS = {("rltf-redis", "password"), ("rltf-ray", "auth_token")}
"""What docs/kubernetes.md has people make before anything else."""

RAY_JOB = {
    "entrypoint": str, "runtimeEnvYAML": str, "submissionMode": str, "backoffLimit": int, "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int, "submitterPodTemplate": dict, "rayClusterSpec": dict,
}  # fmt: skip
RAY_CLUSTER = {
    "rayVersion": str, "authOptions": dict, "enableInTreeAutoscaling": bool, "headGroupSpec": dict, "workerGroupSpecs": list,
}  # fmt: skip
HEAD_GROUP = {"rayStartParams": dict, "template": dict}
WORKER_GROUP = {**HEAD_GROUP, "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(KUBERNETES / "overlays" / request.param)


def test_every_variant_is_there() -> None:
    assert OVERLAYS == ["cluster-cpu", "cluster-gpu", "job-cpu", "job-gpu", "job-small"]


@pytest.mark.skipif(
    not shutil.which("kubectl"), reason="tests/kustomize.py stands in for kubectl; with kubectl, both are compared"
)
@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "monitoring"])
def test_kubectl_renders_the_same(folder: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(yaml.safe_load_all(done.stdout), key=_name) == sorted(render(KUBERNETES / folder), key=_name)


def test_objects_are_what_kubernetes_knows(objects: list[Object]) -> None:
    assert len({_name(one) for one in objects}) == len(objects)
    for one in objects:
        if one["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(one, VERSION, strict=True)
    for template in _templates(objects):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}, VERSION, strict=True
        )


def test_a_misspelt_field_would_be_found() -> None:
    (job,) = [one for one in render(KUBERNETES / "overlays" / "job-cpu") if one["kind"] == "RayJob"]
    template = job["spec"]["submitterPodTemplate"]
    template["spec"]["containers"][0]["securityContext"]["runAsNonroot"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="runAsNonroot"):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}, VERSION, strict=True
        )


def test_rays_resources_have_fields_that_kuberay_knows(objects: list[Object]) -> None:
    jobs = [one["spec"] for one in objects if one["kind"] == "RayJob"]
    for job in jobs:
        _has_exactly(job, RAY_JOB)
        assert (job["submissionMode"], job["backoffLimit"]) == ("K8sJobMode", 1)
        assert yaml.safe_load(job["runtimeEnvYAML"]) == {"env_vars": {"RLTF_RUN": "first", **RUNTIME_ENV["env_vars"]}}
    cluster = _cluster(objects)
    _has_exactly(cluster, RAY_CLUSTER)
    _has_exactly(cluster["headGroupSpec"], HEAD_GROUP)
    assert cluster["authOptions"] == {"mode": "token", "secretName": "rltf-ray"}
    for group in cluster["workerGroupSpecs"]:
        _has_exactly(group, WORKER_GROUP)
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_pods_are_confined(objects: list[Object]) -> None:
    """What the restricted Pod Security Standard asks for, a file system that cannot be written, and no token."""
    for template in _templates(objects):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod["automountServiceAccountToken"], pod["serviceAccountName"]) == (False, "rltf")
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        rays = [container["name"] in ("ray-head", "ray-worker") for container in pod["containers"]]
        assert ("shareProcessNamespace" in pod) is any(rays)
        assert not pod.get("shareProcessNamespace") or rays == [True], "one container: there is nobody to be seen by"
        assert all("hostPath" not in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            resources = container["resources"]
            assert set(resources["limits"]) >= {"cpu", "memory"}
            assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_images_are_pinned(objects: list[Object]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = {container["image"] for template in _templates(objects) for container in template["spec"]["containers"]}
    (ours,) = images - {"redis:7.2.14-alpine"}
    assert ours in (f"rltf:{version}-cpu", f"rltf:{version}-cuda")
    gpus = any("nvidia.com/gpu" in c["resources"]["limits"] for t in _templates(objects) for c in t["spec"]["containers"])
    assert ours.endswith("-cuda") is gpus


def test_what_is_named_is_there(objects: list[Object]) -> None:
    there = {_name(one) for one in objects}
    for template in _templates(objects):
        pod = template["spec"]
        own = {claim["metadata"]["name"] for one in objects for claim in one.get("spec", {}).get("volumeClaimTemplates", ())}
        volumes = {volume["name"] for volume in pod["volumes"]} | (own if pod["containers"][0]["name"] == "redis" else set())
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            for variable in container.get("env", ()):
                if "valueFrom" in variable:
                    secret = variable["valueFrom"]["secretKeyRef"]
                    assert (secret["name"], secret["key"]) in SECRETS
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there
        assert ("ServiceAccount", pod["serviceAccountName"]) in there


def test_no_secret_and_no_namespace_is_in_a_manifest(objects: list[Object]) -> None:
    assert "Secret" not in {one["kind"] for one in objects}
    assert all("namespace" not in one["metadata"] for one in objects)
    url = next(v["value"] for v in _head(objects)["env"] if v["name"] == "RLTF_REDIS_URL")
    assert url == "redis://:$(REDIS_PASSWORD)@rltf-redis:6380/0"


def test_selectors_find_their_pods_and_ports(objects: list[Object]) -> None:
    labels = [template["metadata"]["labels"] for template in _templates(objects)]
    ports = {
        p["name"]: p["containerPort"] for t in _templates(objects) for c in t["spec"]["containers"] for p in c.get("ports", ())
    }
    assert ports == {"redis": 6380, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "rltf": 9400}
    for one in objects:
        if one["kind"] == "NetworkPolicy":
            found = [one["spec"]["podSelector"]["matchLabels"].items() <= pod.items() for pod in labels]
            assert found.count(True) == {"rltf-redis": 1, "rltf-ray": len(labels) - 1}[one["metadata"]["name"]]
            for rule in one["spec"]["ingress"]:
                for port in rule.get("ports", ()):
                    assert port["port"] in {*ports, *ports.values()}
        if one["kind"] == "Service":
            assert [one["spec"]["selector"].items() <= pod.items() for pod in labels].count(True) == 1
            assert [(port["port"], port["targetPort"]) for port in one["spec"]["ports"]] == [(ports["redis"], "redis")]
    (monitor,) = [one for one in render(KUBERNETES / "monitoring") if one["kind"] == "PodMonitor"]
    assert monitor["spec"]["selector"]["matchLabels"] in labels
    assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} == {"metrics", "rltf"}


def test_ray_nodes_can_write_where_they_must(objects: list[Object]) -> None:
    cluster = _cluster(objects)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/runs", "/home/rltf", "/tmp", "/dev/shm"}
        assert {"name": "HF_HOME", "value": "/runs/.huggingface"} in container["env"]


def test_the_recipe_fits_its_cluster(objects: list[Object], tmp_path: Path) -> None:
    (files,) = [one["data"] for one in objects if _name(one) == ("ConfigMap", "rltf-run")]
    (tmp_path / "recipe.yaml").write_text(files["recipe.yaml"], encoding="utf-8")
    recipe = load_recipe(tmp_path / "recipe.yaml", ("output=/runs",))
    nodes = [
        Node(f"{group['groupName']}-{i}", group["groupName"], resources, resources)
        for group in _cluster(objects)["workerGroupSpecs"]
        for i in range(group["replicas"])
        for resources in [_resources(group)]
    ]
    placed = plan(nodes, roles_of(recipe))
    assert [str(short) for short in placed.short] == []
    if len(_cluster(objects)["workerGroupSpecs"]) == 2:
        assert {place.split("-")[0] for place in placed.places["executors"]} == {"programs"}
        assert {place.split("-")[0] for role in ("learner", "samplers") for place in placed.places[role]} == {"models"}


def test_gpu_pods_are_let_onto_gpu_nodes() -> None:
    (models, programs) = _cluster(render(KUBERNETES / "overlays" / "job-gpu"))["workerGroupSpecs"]
    assert models["template"]["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert models["template"]["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == "8"
    assert "tolerations" not in programs["template"]["spec"]
    assert [
        volume["emptyDir"]["sizeLimit"]
        for group in (models, programs)
        for volume in group["template"]["spec"]["volumes"]
        if volume["name"] == "shm"
    ] == ["16Gi", "2Gi"]


def test_rules_are_resources_of_the_prometheus_operator() -> None:
    done = subprocess.run(
        [KUBERNETES / "monitoring" / "rules.sh"], capture_output=True, text=True, check=True, timeout=20, cwd="/"
    )
    made = [*yaml.safe_load_all(done.stdout)]
    assert [(one["kind"], one["metadata"]["name"]) for one in made] == [
        ("PrometheusRule", "rltf-rules"), ("PrometheusRule", "rltf-alerts"),
    ]  # fmt: skip
    for one, file in zip(made, ("rules.yml", "alerts.yml"), strict=True):
        assert one["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / file).read_text(encoding="utf-8"))


def test_all_boards_are_in_the_config_map() -> None:
    (boards,) = [one for one in render(KUBERNETES / "monitoring") if one["kind"] == "ConfigMap"]
    assert set(boards["data"]) == {path.name for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
    assert boards["metadata"]["labels"] == {"grafana_dashboard": "1"}


def _name(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _cluster(objects: list[Object]) -> Object:
    (found,) = [
        one["spec"] if one["kind"] == "RayCluster" else one["spec"]["rayClusterSpec"]
        for one in objects
        if one["kind"] in ("RayCluster", "RayJob")
    ]
    assert isinstance(found, dict)
    return found


def _head(objects: list[Object]) -> Object:
    (container,) = _cluster(objects)["headGroupSpec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _templates(node: Any) -> Iterator[Object]:
    """Every pod template, however deep."""
    if isinstance(node, dict) and "containers" in node.get("spec", {}):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _templates(child)


def _resources(group: Object) -> dict[str, float]:
    """What Ray takes a worker's resources to be."""
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    custom = yaml.safe_load(yaml.safe_load(group["rayStartParams"].get("resources", '"{}"')))
    return {"CPU": int(limits["cpu"]), "GPU": int(limits.get("nvidia.com/gpu", 0)), **custom}


def _has_exactly(spec: Object, fields: dict[str, type]) -> None:
    assert {name: type(value) for name, value in spec.items()} == fields
