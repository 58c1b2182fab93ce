"""The commands about feedback, as they are typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import call_rein


@pytest.fixture
def rein(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls `rein` in an empty folder, where the store is made; gives back (exit status, what it says)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        done = call_rein(*words)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, (done.stdout + done.stderr).strip()

    return run


def test_a_shell_sees_the_same(tmp_path):
    """One command as a process: all others below are called in this one."""
    command = [Path(sys.executable).parent / "rein", "labelers", "list", "--store", "mysql://x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "ConfigError: feedback store mysql://x" in done.stderr


def write_pairs(file: Path, *rows: dict) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file.name


def pair(number: int, chosen: str = "Open it.", rejected: str = "Shut it.") -> dict:
    return {"prompt": f"Window {number}?", "chosen": chosen, "rejected": rejected}


def test_labelers_are_added_renewed_and_listed(rein):
    added = call_rein("labelers", "add", "ann")
    token = added.stdout.removesuffix("\n")
    assert added.returncode == 0 and re.fullmatch(r"rein_\S{36,}", token), "a script reads the token alone"
    assert added.stderr.splitlines() == [
        "page:  http://127.0.0.1:8300 (once it is served: rein label)",
        "name:  ann",
        "token, shown once (a new one: rein labelers renew ann):",
    ]
    assert rein("labelers", "add", "ann") == (
        1,
        "DataError: labeler ann: this name is taken; a lost token is renewed, not added",
    )
    renewed = call_rein("labelers", "renew", "ann")
    assert renewed.returncode == 0 and re.fullmatch(r"rein_\S{36,}\n", renewed.stdout) and token not in renewed.stdout
    rein("labelers", "add", "olga", "--overseer")
    assert rein("labelers", "list") == (0, "ann\tlabeler\tcan sign in\nolga\toverseer\tcan sign in")


THREE = "prompts: 3, completions: 6, labelers: 1, rankings: 3 (0 with ties), ratings: 0"


def test_an_import_changes_nothing_twice_and_is_exported(rein, tmp_path):
    name = write_pairs(tmp_path / "pairs.jsonl", *(pair(number) for number in range(3)))
    assert rein("import", "pairs", name, "labeler=ann") == (
        0,
        f"{THREE}\nnew: 3, edited: 0, taken back: 0, unchanged: 0",
    )
    assert rein("import", "pairs", name, "labeler=ann") == (
        0,
        f"{THREE}\nnew: 0, edited: 0, taken back: 0, unchanged: 3",
    )
    status, said = rein("export", "out")
    assert (status, said) == (0, "rankings: 3, ratings: 0\npairs: 3 (and 0 ties, which the pair form cannot say)")
    rows = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted((row["prompt"], row["chosen"]) for row in rows) == [(f"Window {n}?", "Open it.") for n in range(3)]
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        *("prompts.jsonl", "completions.jsonl", "rankings.jsonl", "agreement.json", "elo.jsonl"),
        *("consensus.jsonl", "consensus.parquet", "pairs.jsonl", "pairs.parquet"),
    }
    assert rein("export", "out") == (1, "ConfigError: out: is there already; name a new folder")


def test_an_edited_source_is_followed(rein, tmp_path):
    thumbs = [{"prompt": f"Window {n}?", "completion": "Open it.", "label": True} for n in range(3)]
    name = write_pairs(tmp_path / "thumbs.jsonl", *thumbs)
    rein("import", "thumbs", name)
    write_pairs(tmp_path / "thumbs.jsonl", thumbs[0] | {"label": False}, thumbs[1])
    assert rein("import", "thumbs", name, "--complete")[1].endswith("\nnew: 0, edited: 1, taken back: 1, unchanged: 1")
    assert rein("export", "out") == (0, "rankings: 0, ratings: 2")


def test_an_edited_preference_is_an_edit_and_not_a_second_one(rein, tmp_path):
    name = write_pairs(tmp_path / "pairs.jsonl", pair(0), pair(1), pair(2, "Lock it."))
    rein("import", "pairs", name)
    write_pairs(tmp_path / "pairs.jsonl", pair(2, "Lock it."), pair(1), pair(0, "Shut it.", "Open it."))
    assert rein("import", "pairs", name)[1].endswith("\nnew: 0, edited: 1, taken back: 0, unchanged: 2")
    write_pairs(tmp_path / "pairs.jsonl", pair(0) | {"winner": "tie"})
    assert rein("import", "pairs", name)[1].endswith("\nnew: 0, edited: 1, taken back: 0, unchanged: 0")
    rein("export", "out")
    rankings = [json.loads(line) for line in (tmp_path / "out/rankings.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(len(one["levels"]) for one in rankings) == [1, 2, 2], "the tie, and two that were not edited"


def test_files_of_several_labelers_meet(rein, tmp_path):
    """One file a labeler, in whatever order: they contradict each other, and so agree on a tie."""
    for labeler, rows in [("ann", [pair(0), pair(1)]), ("bob", [pair(1), pair(0, "Shut it.", "Open it.")])]:
        name = write_pairs(tmp_path / f"{labeler}.jsonl", *rows)
        assert rein("import", "pairs", name, f"labeler={labeler}")[0] == 0
    rein("export", "out")
    consensus = [
        json.loads(line) for line in (tmp_path / "out/consensus.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert sorted((one["num_labelers"], len(one["levels"])) for one in consensus) == [(2, 1), (2, 2)]


def test_names_that_differ_by_case_alone_are_told(rein, tmp_path):
    rows = [pair(0) | {"who": "ann"}, pair(1) | {"who": "Ann"}, pair(2) | {"who": "bob"}]
    said = rein("import", "pairs", write_pairs(tmp_path / "pairs.jsonl", *rows), "labeler_column=who")[1]
    assert "labelers Ann, ann: one person, or several? Only the case differs" in said


def test_bad_rows_stop_an_import_or_are_set_aside(rein, tmp_path):
    name = write_pairs(tmp_path / "pairs.jsonl", pair(0), pair(1, chosen=""))
    status, said = rein("import", "pairs", name)
    assert status == 1 and "pairs.jsonl:2: chosen: " in said
    assert rein("export", "out")[1].startswith("DataError: the feedback store holds no judgement")
    status, said = rein("import", "pairs", name, "--set-aside", "rejected.jsonl")
    assert (status, said) == (
        0,
        "prompts: 1, completions: 2, labelers: 1, rankings: 1 (0 with ties), ratings: 0\n"
        "new: 1, edited: 0, taken back: 0, unchanged: 0\nbad rows: 1, set aside in rejected.jsonl",
    )
    rejected = json.loads((tmp_path / "rejected.jsonl").read_text(encoding="utf-8"))
    assert (rejected["line"], rejected["reasons"][0]["field"]) == (2, "chosen")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("import", "songs", "x.jsonl"), "ConfigError: the import does not fit"),
        (("import", "store", "x"), "ConfigError: the import does not fit"),
        (("import", "pairs", "x.jsonl", "labeller=ann"), "labels.labeller: no such key"),
        (("import", "pairs", "x.jsonl", "bad_rows=set_aside"), "say where to, with --set-aside FILE"),
        (("import", "pairs", "gone.jsonl"), "DataError: gone.jsonl: no such file"),
        (("withdraw", "nobody"), "DataError: labeler nobody: no one of this name"),
        (("labelers", "list", "--store", "mysql://x"), "ConfigError: feedback store mysql://x"),
        (("label-studio", "push", "http://127.0.0.1:1", "b_0"), "DataError: batch b_0: the feedback store has no"),
        (("label-studio", "pull", "http://127.0.0.1:1", "1", "out.json"), "ConfigError: LABEL_STUDIO_TOKEN is not set"),
        (("label", "--port", "1", "--host", "192.0.2.1"), "ConfigError: cannot listen on 192.0.2.1:1"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(rein, monkeypatch, words, complaint):
    monkeypatch.delenv("LABEL_STUDIO_TOKEN", raising=False)
    status, said = rein(*words)
    assert status == 1
    assert complaint in said
