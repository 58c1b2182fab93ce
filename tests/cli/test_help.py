"""What `rein` says of itself: help, version, completion, presets by name, and what comes next."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from cli.command import app
from cli.printed import print_batch
from cli.starting.presets import SHIPPED, find_preset
from cli.starting.typed import typed
from models.errors import ConfigError
from models.settings.presets import load_config
from tests.calling import call_rein


def commands(group: App = app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, of groups too."""
    for name in group:
        if name not in ("--help", "-h", "--version"):
            below = group[name]
            yield (*words, name)
            if below.default_command is None:
                yield from commands(below, (*words, name))


def parsed(line: str) -> tuple[str, dict]:
    """The function that a typed line calls, and its arguments. Raises where it cannot be typed so."""
    program, *words = shlex.split(line)
    assert program == "rein"
    function, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    return function.__name__, bound.arguments


COMMANDS = list(commands())


def test_the_walk_sees_what_it_should():
    assert {("rlhf",), ("doctor",), ("labelers",), ("labelers", "add"), ("fetch", "e2e")} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_shows_its_arguments_and_an_example_that_can_be_typed(words, monkeypatch):
    monkeypatch.setenv("REIN_DATA", "/somewhere")
    done = call_rein(*words, "--help")
    *_, last = done.stdout.strip().splitlines()
    assert done.returncode == 0 and last.startswith(f"Example: rein {' '.join(words)}"), last
    _, arguments = parsed(last.removeprefix("Example: "))
    if "preset" in arguments:
        load_config(find_preset(arguments["preset"]), arguments.get("overrides", ()))
    group = app[words[0]] if len(words) == 1 else app[words[0]][words[1]]
    for argument in group.assemble_argument_collection() if group.default_command else ():
        assert argument.name in done.stdout or argument.names[-1].upper() in done.stdout, argument.names


def test_the_version_is_said():
    assert re.fullmatch(r"rein \d+\.\d+\.\d+\n", call_rein("--version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell):
    assert {"rlhf", "labelers", "doctor"} <= set(re.findall(r"\w+", app.generate_completion(shell=shell)))


def test_shipped_presets_are_found_from_any_folder_and_a_file_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_preset("tiny") == SHIPPED / "tiny.yaml"
    assert call_rein("rlhf", "tiny", "--check").stdout.startswith("tiny: fits\n")
    Path("tiny").write_text("seed: no number\n")
    assert find_preset("tiny") == Path("tiny")
    assert "tiny does not fit" in call_rein("rlhf", "tiny", "--check").stderr


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("tinny", "tiny"), ("deployments/tiny.yaml", "tiny"), ("e2e.yml", "e2e"), ("smolm2", None), ("xyzzy", None)],
)
def test_the_nearest_preset_is_suggested(asked, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        find_preset(asked)
    assert (f"did you mean {meant}?" in str(refused.value)) if meant else "Shipped are ai, " in str(refused.value)


def test_a_batch_says_what_to_type_next(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rein", "collect", "tiny", "feedback.url=sqlite:///my store.db"])
    config = load_config(find_preset("tiny"), ["feedback.url=sqlite:///my store.db", "batch.criterion=tone of voice"])
    published = {"batch": "b1", "folder": str(tmp_path / "a batch")}
    print_batch(config, published, ("learn", "tiny", "feedback.url=sqlite:///my store.db"))
    said = capsys.readouterr().out
    (people,) = re.findall("let people judge it: (.*)", said)
    add, serve = (parsed(line) for line in people.split(" && "))
    assert add == ("add_labeler", {"name": "ann", "store": "sqlite:///my store.db"})
    assert serve == ("label", {"store": "sqlite:///my store.db"})
    for begins, labels in (
        ("then learn: ", {"kind": "store", "criterion": "tone of voice"}),
        ("write rankings.jsonl into it, then: ", {"kind": "folder", "path": published["folder"]}),
    ):
        (line,) = re.findall(f"{begins}(.*)", said)
        name, arguments = parsed(line)
        learned = load_config(find_preset(arguments["preset"]), arguments["overrides"])
        assert name == "learn" and learned.feedback == config.feedback
        assert labels.items() <= learned.labels.model_dump().items()

    print_batch(config, published, ())
    (again,) = re.findall("then run the same again: (.*)", capsys.readouterr().out)
    assert parsed(again)[1] == {"preset": "tiny", "overrides": ("feedback.url=sqlite:///my store.db",)}


def test_a_command_is_printed_as_it_was_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / ".venv" / "bin" / "rein"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    for called, path, shown in (
        (".venv/bin/rein", "/nowhere", ".venv/bin/rein"),
        (str(script), "/nowhere", ".venv/bin/rein"),
        (str(script), str(script.parent), "rein"),
        ("/work/cli/command.py", "/nowhere", "rein"),
    ):
        monkeypatch.setattr(sys, "argv", [called, "label"])
        monkeypatch.setenv("PATH", path)
        assert typed("label", "--port", "1") == f"{shown} label --port 1"
    monkeypatch.chdir(script.parent)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "rein"), "label"])
    (tmp_path / "rein").touch()
    assert typed("label") == f"{tmp_path}/rein label"
