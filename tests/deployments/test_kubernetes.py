"""The template of Kubernetes jobs, as Prefect reads it, and the objects that it expects in the cluster."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import prefect
import pytest
import yaml
from prefect.server.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values, find_placeholders

from tests.test_presets import PROJECT

FOLDER = PROJECT / "deployments" / "kubernetes"
TEMPLATE = json.loads((FOLDER / "gpu-job.json").read_text(encoding="utf-8"))
OBJECTS = {one["kind"]: one for one in yaml.safe_load_all((FOLDER / "rein.yaml").read_text(encoding="utf-8"))}
MANIFEST = TEMPLATE["job_configuration"]["job_manifest"]
POD = MANIFEST["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
# what Prefect itself ships for a pool of this type
SHIPPED = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"


def kubectl(file: Path) -> str:
    """What kubectl reads from a file, without a cluster: it knows the kinds itself, and refuses what is none of them."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    command = ["kubectl", "label", "--local", "--filename", file, "checked=yes", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_prefect_takes_the_template():
    WorkPoolCreate(name="rein", type="kubernetes", base_job_template=TEMPLATE)
    variables = TEMPLATE["variables"]["properties"]
    assert {found.name for found in find_placeholders(TEMPLATE["job_configuration"])} == variables.keys()


def test_it_has_the_form_of_the_template_that_prefect_ships():
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))["prefect-kubernetes"]["kubernetes"]
    default = shipped["default_base_job_configuration"]["job_configuration"]
    assert TEMPLATE["job_configuration"].keys() <= default.keys()
    pod = default["job_manifest"]["spec"]["template"]["spec"]
    for name in ("parallelism", "completions", "restartPolicy"):  # the worker refuses others
        assert POD[name] == pod[name]
    assert CONTAINER["name"] == pod["containers"][0]["name"]
    assert (MANIFEST["apiVersion"], MANIFEST["kind"]) == ("batch/v1", "Job")


def test_a_run_can_choose_neither_command_nor_environment():
    assert not TEMPLATE["variables"]["properties"].keys() & {"command", "env", "namespace", "service_account_name"}
    assert "args" not in CONTAINER and isinstance(CONTAINER["env"], list)
    assert {"name": "REIN_ALLOWED_ROOTS", "value": "/data"} in CONTAINER["env"]


def test_a_job_may_do_little():
    assert POD["securityContext"]["runAsNonRoot"] is True and POD["securityContext"]["runAsUser"] == 1000
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    written = {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert written == {"/data", "/dev/shm", "/tmp"}


def test_the_template_names_what_the_cluster_is_given():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == volumes.keys()
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert OBJECTS["PersistentVolumeClaim"]["metadata"] == {
        "name": claim,
        "namespace": MANIFEST["metadata"]["namespace"],
    }
    assert OBJECTS["ServiceAccount"]["metadata"]["name"] == POD["serviceAccountName"]
    assert OBJECTS["Namespace"]["metadata"]["name"] == TEMPLATE["job_configuration"]["namespace"]
    secret = CONTAINER["envFrom"][0]["secretRef"]["name"]
    assert f"create secret generic {secret} " in (FOLDER / "rein.yaml").read_text(encoding="utf-8")
    assert "Secret" not in OBJECTS, "secrets are made by hand"


def test_kubectl_reads_the_objects_and_a_job_of_the_template(tmp_path):
    kinds = re.findall(r'^    "kind": "(\w+)"', kubectl(FOLDER / "rein.yaml"), flags=re.MULTILINE)
    assert kinds == list(OBJECTS)
    variables = TEMPLATE["variables"]["properties"]
    values = {name: variable.get("default") for name, variable in variables.items()} | {"name": "a-run", "labels": {}}
    job = tmp_path / "job.json"
    rendered = apply_values(MANIFEST, values)
    rendered["metadata"]["name"] = "a-run-1"  # the cluster would derive it from generateName
    job.write_text(json.dumps(rendered))
    read = json.loads(kubectl(job))
    (container,) = read["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    assert container["image"] == "rein-worker:0.1.0-cuda"
