"""What the pages of docs/recipes/ tell to type: every setting and preset is there, and each `rein check` runs."""

import os
import re
import shlex
from pathlib import Path

import pytest

from cli.command import app
from cli.starting.presets import find_preset
from models.settings.presets import load_config, read_preset
from tests.calling import call_rein

PROJECT = Path(__file__).resolve().parent.parent
RECIPES = PROJECT / "docs" / "recipes"
INDEX = RECIPES / "README.md"
PAGES = sorted(set(RECIPES.glob("*.md")) - {INDEX})
FEW_ROWS = "pretraining.source.num_rows=300"
"""A tokenizer is trained on them before anything is checked."""


def commands(page: Path, language: str) -> list[list[str]]:
    """The words of each `rein` command in the page's blocks of a language; a line that ends in a backslash goes on."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    split = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words[1:] for words in split if words and Path(words[0]).name == "rein"]


@pytest.fixture(autouse=True)
def what_the_pages_write_and_export(tmp_path, monkeypatch):
    """Their Python files, where Python finds them, and their variables."""
    told = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name, text in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", told, flags=re.DOTALL | re.MULTILINE):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in re.findall(r"^export (\w+)=(\S+)$", told, flags=re.MULTILINE):
        monkeypatch.setenv(name, value)


def cases(*languages: str) -> list:
    found = [(page, words) for page in PAGES for language in languages for words in commands(page, language)]
    return [pytest.param(words, id=f"{page.stem}: {' '.join(words)}") for page, words in found]


def test_the_index_names_every_page():
    assert set(re.findall(r"\]\((\w+\.md)\)", INDEX.read_text(encoding="utf-8"))) == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_tells_how_to_check_its_recipe_first(page):
    checks = commands(page, "sh")
    assert checks and all(words[0] == "check" for words in checks)


@pytest.mark.parametrize("words", cases("sh", "console"))
def test_every_setting_is_there(words, monkeypatch):
    monkeypatch.setenv("REIN_DATA", "/somewhere")
    monkeypatch.setenv("REIN_MODEL", "/somewhere/else")
    _, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    if "preset" in bound.arguments:
        load_config(find_preset(bound.arguments["preset"]), bound.arguments.get("overrides", ()))


@pytest.mark.parametrize("words", cases("sh"))
def test_every_check_runs(words, monkeypatch):
    monkeypatch.chdir(PROJECT)
    tree = read_preset(find_preset(words[1]), words[2:])
    for name in re.findall(r"\$\{(\w+)\}", str(tree)):
        if name not in os.environ:
            pytest.skip(f"{name} names no folder with what {words[1]} reads")
    small = [FEW_ROWS] if tree["base"]["kind"] == "scratch" else []
    done = call_rein(*words, *small)
    assert (done.returncode, done.stderr) == (0, "")
    assert "guards passed" in done.stdout
