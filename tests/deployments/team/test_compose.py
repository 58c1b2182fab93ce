"""The team's compose file: closed to the outside, nothing secret in it, and everything that it names is there.

No container engine is needed: what Compose itself would say is not checked here.
"""

import ast
import re

import pytest
import yaml

from tests.test_presets import PROJECT

TEAM = PROJECT / "deployments" / "team"
TEXT = (TEAM / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
GPU = yaml.safe_load((TEAM / "gpu.yaml").read_text(encoding="utf-8"))
EXAMPLE = (TEAM / ".env.example").read_text(encoding="utf-8")
REFERENCED = re.compile(r"\$\{(\w+)(:\?)?\}")
# what the Compose specification knows of a service, as far as it is used here
KEYS = {
    *(
        "image",
        "build",
        "command",
        "environment",
        "depends_on",
        "healthcheck",
        "restart",
        "networks",
        "volumes",
        "ports",
    ),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "user", "deploy", "stop_grace_period"),
    "sysctls",
}
every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def test_each_variable_stands_in_the_example_file_without_a_value():
    lines = [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")]
    assert all(line.endswith("=") and line.count("=") == 1 for line in lines)
    assert sorted(line.removesuffix("=") for line in lines) == sorted({name for name, _ in REFERENCED.findall(TEXT)})


def test_a_variable_that_is_not_set_stops_compose():
    assert all(required for _, required in REFERENCED.findall(TEXT))
    assert "${" not in REFERENCED.sub("", TEXT)


def test_secrets_come_from_variables_alone():
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|AUTH_STRING|KEY", key):
                assert REFERENCED.fullmatch(value), f"{name}: {key}"
    for line in re.findall(r"\S+://\S+", TEXT):
        assert not re.search(r"://[^/@]*:[^/@]*@", line), line


def test_only_the_proxy_listens_outside():
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy"}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"proxy", "worker"}


@every_service
def test_a_service_says_only_what_compose_knows(service):
    assert service.keys() <= KEYS
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    named = [volume.partition(":")[0] for volume in service.get("volumes", ())]
    assert {name for name in named if not name.startswith(".")} <= set(COMPOSE["volumes"])
    assert all((TEAM / name).is_file() for name in named if name.startswith("."))


@every_service
def test_a_service_can_do_little(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or service["user"] == "postgres", "images of ours name their user themselves"


@every_service
def test_images_are_pinned_and_built_from_files_that_are_there(service):
    assert re.search(r":\d+\.\d+", service["image"])
    if "build" in service:
        assert (TEAM / service["build"]["context"]).resolve() == PROJECT
        assert (PROJECT / service["build"]["dockerfile"]).is_file()


@every_service
def test_a_service_waits_for_others_to_be_healthy_and_says_when_it_is(service):
    if service["restart"] != "no":
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
    for other, how in service.get("depends_on", {}).items():
        finishes = SERVICES[other]["restart"] == "no"
        assert how == {"condition": "service_completed_successfully" if finishes else "service_healthy"}


def test_code_in_healthchecks_is_python():
    for service in SERVICES.values():
        test = service.get("healthcheck", {}).get("test", [])
        if "python" in test:
            ast.parse(test[-1])


def test_the_worker_is_limited_and_keeps_to_its_folder():
    assert SERVICES["worker"]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert SERVICES["worker"]["environment"]["REIN_ALLOWED_ROOTS"] == "/data"


def test_a_gpu_changes_nothing_but_the_image_and_what_it_may_take():
    """Maps are merged by Compose: the limits stay, and so do user, networks, volume and pool."""
    assert list(GPU) == ["services"] and list(GPU["services"]) == ["worker"]
    worker = GPU["services"]["worker"]
    assert worker.keys() == {"image", "build", "shm_size", "deploy"}
    assert worker["image"] == "rein-worker:0.1.0-cuda"
    dockerfile = (PROJECT / SERVICES["worker"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    (default,) = re.findall(r"^ARG TORCH_INDEX=(\S+)", dockerfile, flags=re.MULTILINE)
    assert worker["build"] == {"args": {"TORCH_INDEX": default}}, "not the index without CUDA"
    assert list(worker["deploy"]["resources"]) == ["reservations"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])


def test_the_proxy_knows_the_ports_of_the_services():
    caddyfile = (TEAM / "images" / "Caddyfile").read_text(encoding="utf-8")
    assert set(re.findall(r"\{\$(\w+)\}", caddyfile)) == SERVICES["proxy"]["environment"].keys()
    for name, port in re.findall(r"reverse_proxy (\w+):(\d+)", caddyfile):
        command = SERVICES[name]["command"]
        words = command.split() if isinstance(command, str) else command
        assert words[words.index("--port") + 1] == port
        assert SERVICES["proxy"]["depends_on"][name] == {"condition": "service_healthy"}
