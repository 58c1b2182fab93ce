"""The Dockerfiles: pinned, not as root, and what they copy is there. They were never built by a test: no engine is needed here."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_presets import PROJECT

IMAGES = PROJECT / "deployments" / "team" / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
every_image = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
CONSTRAINTS = {
    line.partition("==")[0].lower().replace("_", "-")
    for line in (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}


def instructions(file: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of each instruction, lines joined."""
    text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def reaches_the_builder(path: str) -> bool:
    """What .dockerignore says of a path: the last pattern that fits decides."""
    ignored = False
    for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (pattern == "*" or fnmatch(path.split("/")[0], pattern)):
            ignored = not line.startswith("!")
    return not ignored


@every_image
def test_base_images_are_pinned(file):
    for keyword, rest in instructions(file):
        if keyword == "FROM":
            assert re.search(r"^[\w/.-]+:\d+\.\d+", rest), rest


@every_image
def test_what_is_copied_is_there_and_reaches_the_builder(file):
    copies = [rest.split()[:-1] for keyword, rest in instructions(file) if keyword == "COPY"]
    for source in (name for names in copies if not names[0].startswith("--from") for name in names):
        assert (PROJECT / source).exists(), source
        assert reaches_the_builder(source), source
    assert not any(keyword == "ADD" for keyword, _ in instructions(file))


@every_image
def test_it_does_not_run_as_root(file):
    users = [rest for keyword, rest in instructions(file) if keyword == "USER"]
    assert users[-1:] == ["1000:1000"]


@every_image
def test_pip_keeps_to_the_constraints(file):
    settings = " ".join(rest for keyword, rest in instructions(file) if keyword == "ENV")
    for keyword, rest in instructions(file):
        if keyword == "RUN" and "pip install" in rest:
            assert "PIP_CONSTRAINT=/build/constraints.txt" in settings and "PIP_NO_CACHE_DIR=1" in settings
            assert "/opt/rein/bin/pip" in rest, "in the environment that is copied, not in the system's"
        assert "apt-get" not in rest


def test_what_the_server_needs_is_a_dependency_of_the_project_or_pinned():
    names = (IMAGES / "server.txt").read_text(encoding="utf-8").splitlines()[1:]
    required = [Requirement(name) for name in names]
    assert {one.name.lower() for one in required} <= CONSTRAINTS
    assert "torch" not in {one.name for one in required}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {"postgres", "s3"}
    assert extras <= project["optional-dependencies"].keys()
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            assert Requirement(line).name in CONSTRAINTS


def test_the_environment_files_stay_out_of_images_and_git():
    assert "**/.env" in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["server", "worker"])
def test_an_image_holds_every_package_of_the_project(name):
    packages = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    copied = {rest.split()[0] for word, rest in instructions(IMAGES / f"{name}.Dockerfile") if word == "COPY"}
    for package in (one.rstrip("*") for one in packages["find"]["include"]):
        assert package in copied and reaches_the_builder(package)
