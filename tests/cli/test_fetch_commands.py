"""`rein fetch`, from folders that stand for the public repositories: rows that were made up, in the real columns."""

import json

import pytest

from tests.calling import call_rein
from tests.labeling.public_data.raw_files import as_archive, as_folders, e2e_files, rankme_files


@pytest.fixture
def copies(tmp_path):
    return as_folders(e2e_files() | rankme_files(), tmp_path / "copies")


def fetch(*words) -> tuple[int, str]:
    done = call_rein("fetch", *map(str, words))
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, (done.stdout + done.stderr).strip()


def test_one_folder_holds_both(tmp_path, copies):
    """Three lines of each criterion, two of them of one unit; 6 distinct outputs; 2 and 1 references; 2 setups of 3 criteria."""
    data = tmp_path / "data"
    status, said = fetch("e2e", data, "--from", copies)
    assert status == 0
    for name, num_rows in (
        ("rankings/e2e_quality.jsonl", 2),
        ("rankings/e2e_naturalness.jsonl", 2),
        ("e2e/system_outputs.jsonl", 6),
        ("e2e/demonstrations_dev.jsonl", 2),
        ("e2e/references_test.jsonl", 1),
    ):
        assert f"{data / name}: {num_rows} rows" in said
        assert len((data / name).read_text(encoding="utf-8").splitlines()) == num_rows
    assert "https://github.com/tuetschek/e2e-eval: none stated: for trials only" in said
    assert "https://github.com/tuetschek/e2e-dataset: CC BY-SA 4.0" in said
    assert "not as published (by its sha256): tuetschek/e2e-dataset/devset.csv" in said

    status, said = fetch("rankme", data, "--from", copies)
    assert status == 0 and f"{data / 'rankings/rankme_rankings.jsonl'}: 6 rows" in said
    assert not list(data.glob(".scratch*"))


def test_sources_are_kept_and_compared(tmp_path, copies):
    data = tmp_path / "data"
    fetch("e2e", data, "--from", copies)
    kept = json.loads((data / "SOURCES.e2e.json").read_text(encoding="utf-8"))
    assert [one["repository"] for one in kept["repositories"]] == [
        "https://github.com/tuetschek/e2e-dataset",
        "https://github.com/tuetschek/e2e-eval",
    ]
    assert all(one["licence"] and one["commit"] for one in kept["repositories"])

    assert "changed since it was last fetched: nothing" in fetch("e2e", data, "--from", copies, "--replace")[1]
    (copies / "e2e-dataset/devset.csv").write_bytes(b"mr,ref\r\na,b\r\n")
    said = fetch("e2e", data, "--from", copies, "--replace")[1]
    assert "changed since it was last fetched: tuetschek/e2e-dataset/devset.csv" in said.splitlines()
    assert (data / "e2e/demonstrations_dev.jsonl").read_text() == '{"prompt": "a", "completion": "b"}\n'


def test_what_is_there_is_left_alone_unless_asked(tmp_path, copies):
    data = tmp_path / "data"
    (data / "rankings").mkdir(parents=True)
    (data / "rankings/e2e_quality.jsonl").write_text("mine\n")
    status, said = fetch("e2e", data, "--from", copies)
    assert status == 1
    assert said == f"DataError: {data}: rankings/e2e_quality.jsonl already there; --replace writes anew"
    assert [one.name for one in data.rglob("*")] == ["rankings", "e2e_quality.jsonl"]
    assert fetch("e2e", data, "--from", copies, "--replace")[0] == 0
    assert "mine" not in (data / "rankings/e2e_quality.jsonl").read_text()


def test_nothing_is_written_where_something_is_wrong(tmp_path, copies):
    (copies / "e2e-eval/human_ratings/naturalness.csv").unlink()
    status, said = fetch("e2e", tmp_path / "data", "--from", copies)
    assert (status, said) == (1, f"DataError: {copies / 'e2e-eval'}: no file human_ratings/naturalness.csv in it")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, copies):
    (tmp_path / "data").write_text("a file")
    status, said = fetch("e2e", tmp_path / "data", "--from", copies)
    assert (status, said) == (1, f"DataError: {tmp_path / 'data'}: cannot be written (File exists)")


def test_archives_from_github_are_read_as_they_come(tmp_path, monkeypatch):
    """The archives of the fixed commits, but with made up texts: their sha256 gives them away."""
    files = e2e_files()

    def archive(repository) -> bytes:
        name = repository.name.partition("/")[2]
        return as_archive(name, files[name], repository.commit)

    monkeypatch.setattr("labeling.public_data.repositories.fetched", archive)
    status, said = fetch("e2e", tmp_path / "data")
    assert status == 1 and "devset.csv has the sha256" in said and not (tmp_path / "data").exists()


def test_a_file_of_sources_by_somebody_else_is_named(tmp_path, copies):
    (tmp_path / "SOURCES.e2e.json").write_text("[]")
    status, said = fetch("e2e", tmp_path, "--from", copies, "--replace")
    assert status == 1 and "SOURCES.e2e.json: it is not as `rein fetch` writes it; move it away" in said
