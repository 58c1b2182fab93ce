"""What the documents say is so: commands exist, presets load, paths are there, the layout is the real one."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from cli.command import app
from cli.fields import settings_page
from cli.starting.presets import find_preset
from labeling.importers.feedback_folder import RankingRow
from models.records import Ranking
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config
from tests.calling import call_rein

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(file.read_text(encoding="utf-8") for file in sorted((PROJECT / "docs").glob("*.md")))]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
NOT_PROJECT = re.compile(r"^(\..*|__pycache__|.*\.egg-info|build|dist)$")


def blocks(language: str) -> list[str]:
    """Of README first, then of the pages."""
    return [
        one for page in PAGES for one in re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    ]


def commands() -> list[tuple[dict[str, str], list[str]]]:
    """(environment, words) of each command in bash blocks; what a block exports holds until its end."""
    found = []
    for block in blocks("bash"):
        exported = {}
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            environment = dict(exported)
            while words and re.match(r"^\w+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                environment[name] = value
            if words and words[0] == "export":
                exported |= dict(word.split("=", 1) for word in words[1:])
            elif words:
                found.append((environment, words))
    return found


COMMANDS = commands()


def of_program(program: str) -> list:
    chosen = [(environment, words) for environment, words in COMMANDS if words[0] == program]
    return [pytest.param(*one, id=" ".join(one[1][1:]) or program) for one in chosen]


def test_every_command_is_of_a_kind_that_is_checked_here():
    known = {"make", *(f".venv/bin/{name}" for name in ("rein", "prefect", "mlflow"))}
    assert {words[0] for _, words in COMMANDS} == known
    assert [words for _, words in COMMANDS[:2]] == [["make", "run"], ["make", "test"]]


@pytest.mark.parametrize(("environment", "words"), of_program("make"))
def test_make_targets_and_variables_exist(environment, words):
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split()
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        assert (f"$({name})" in makefile) if is_variable else (name in targets), word
    done = subprocess.run(["make", "-n", *words[1:]], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("environment", "words"), of_program(".venv/bin/rein"))
def test_rein_commands_can_be_run(environment, words, monkeypatch, tmp_path):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REIN_DATA", "/somewhere")
    _, bound, *_ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    if "preset" in bound.arguments:
        load_config(find_preset(bound.arguments["preset"]), bound.arguments.get("overrides", ()))
    if "--check" in words:
        monkeypatch.chdir(PROJECT)
        done = call_rein(*words[1:])
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("environment", "words"), of_program(".venv/bin/prefect"))
def test_prefect_commands_exist(environment, words):
    from prefect.cli._app import _app  # the public `prefect.cli.app` would run it

    command, *_ = _app.parse_args([w for w in words[1:] if w != "--no-prompt"], exit_on_error=False, print_error=False)
    assert command.__name__ != "help_print"


@pytest.mark.parametrize(("environment", "words"), of_program(".venv/bin/mlflow"))
def test_mlflow_commands_exist(environment, words):
    """And the database is where the defaults put it."""
    from mlflow.cli import cli

    name, *arguments = words[1:]
    parameters = cli.get_command(None, name).make_context(name, arguments).params
    assert parameters["backend_store_uri"] == load_config(PROJECT / "deployments/tiny.yaml").tracking.uri


def test_the_line_of_rankings_is_one_that_is_read():
    (line,) = blocks("json")
    row = RankingRow.model_validate(json.loads(line))
    ranking = Ranking.of(row.prompt_id, row.labeler, row.criterion, row.levels, row.unusable)
    assert sorted(ranking.places.values()) == [1, 2, 2, 3]


def real_layout() -> set[str]:
    """Every folder of the first two levels that directly holds files, but those below tests/, which mirror the others."""
    found = set()
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = [name for name in folders if not NOT_PROJECT.match(name)]
        path = Path(folder).relative_to(PROJECT)
        if len(path.parts) == 2 or path.name == "tests":
            folders.clear()
        if path.parts and any(not NOT_PROJECT.match(name) for name in names):
            found.add(f"{path.as_posix()}/")
    return found


def test_the_layout_is_the_real_one():
    (tree,) = blocks("text")
    assert {line.split()[0] for line in tree.splitlines()} == real_layout()


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_links_lead_somewhere(file):
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    assert not [name for name in linked if not (file.parent / name).exists()]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_files_that_a_document_names_exist(file):
    text = file.read_text(encoding="utf-8")
    named = re.findall(r"\b((?:flows|tasks|models|labeling|deployments|tests|docs)/[\w/.-]*\w)", text)
    for name in set(named):
        matches = list(PROJECT.glob(f"{name}*" if re.fullmatch(r"docs/.*/\d{4}", name) else name))
        assert matches or name in {"models/stories260k"}, name  # that one lies in the reader's own folder


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_documents_are_finished_and_say_nothing_of_one_machine(file):
    text = file.read_text(encoding="utf-8")
    assert not re.findall(r"TODO|FIXME|/home/|/root\b|/tmp/", text)


@pytest.mark.parametrize("file", sorted((PROJECT / "docs" / "decisions").glob("*.md")), ids=lambda file: file.stem[:4])
def test_decisions_have_their_parts(file):
    headings = re.findall(r"^## (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_the_page_of_settings_is_the_present_one():
    """`rein fields --markdown > docs/settings.md` writes it."""
    assert (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page(PipelineConfig)


def test_readme_can_be_read_at_a_sitting():
    assert len(README.splitlines()) <= 150


def test_decisions_are_numbered_without_gaps():
    numbers = [int(file.name[:4]) for file in sorted((PROJECT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
