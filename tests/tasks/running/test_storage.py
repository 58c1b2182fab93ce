"""An artifact is whole or it does not exist, and a read tells which file is not what it was."""

import hashlib
import json
import shutil

import pytest

from models.errors import ArtifactError
from tasks.running.storage import (
    MANIFEST,
    content_digest,
    folder_digests,
    publish,
    read_manifest,
    scratch_folder,
    verify,
)
from tests.tasks.hand_made import making

MADE = making("rows", {"seed": 0})


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def make(root, name="made", files=None, run_id="run-1"):
    with scratch_folder(root) as folder:
        fill(folder, files or {"rows.jsonl": "one\n", "model/weights.bin": "two"})
        return publish(folder, root / name, "rows", 1, run_id, {"loss": 0.5, "upside_down": ["ann"]}, MADE, 1.0)


def test_a_published_artifact_is_whole(tmp_path):
    artifact = make(tmp_path)
    verify(artifact)
    assert (artifact.folder / "model" / "weights.bin").read_text() == "two"
    assert read_manifest(artifact).metrics == {"loss": 0.5, "upside_down": ["ann"]}
    assert read_manifest(artifact).made == MADE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


def test_the_digest_is_that_of_names_and_contents(tmp_path):
    artifact = make(tmp_path)
    files = {
        name: hashlib.sha256(text).hexdigest()
        for name, text in {"model/weights.bin": b"two", "rows.jsonl": b"one\n"}.items()
    }
    assert json.loads((artifact.folder / MANIFEST).read_text())["files"] == files
    assert artifact.sha256 == hashlib.sha256(json.dumps(files).encode()).hexdigest()


def test_neither_place_nor_run_enters_the_digest(tmp_path):
    first, second = make(tmp_path / "here"), make(tmp_path / "there", "other", run_id="run-2")
    assert first.sha256 == second.sha256
    assert first.identity == second.identity
    assert first != second


@pytest.mark.parametrize(
    "files",
    [
        {"rows.jsonl": "one\n", "model/weights.bin": "2"},
        {"rows.jsonl": "one\n", "model/weight.bin": "two"},
        {"rows.jsonl": "two", "model/weights.bin": "one\n"},
    ],
    ids=["content", "name", "swapped"],
)
def test_another_content_has_another_digest(tmp_path, files):
    assert make(tmp_path, "one").sha256 != make(tmp_path, "other", files).sha256


def alter(folder):
    (folder / "model" / "weights.bin").write_text("twp")


def remove(folder):
    (folder / "model" / "weights.bin").unlink()


def add(folder):
    (folder / "model" / "extra.bin").write_text("")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (alter, "model/weights.bin is altered"),
        (remove, "model/weights.bin is missing"),
        (add, "model/extra.bin is not part of it"),
    ],
)
def test_damage_is_named(tmp_path, damage, complaint):
    artifact = make(tmp_path)
    damage(artifact.folder)
    with pytest.raises(ArtifactError) as caught:
        verify(artifact)
    assert str(caught.value) == f"{artifact.folder}: {complaint}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "valid dictionary"),
        (b'{"artifact": {}}', "artifact.kind: Field required"),
    ],
)
def test_a_damaged_manifest_is_named_with_what_to_do(tmp_path, text, complaint):
    artifact = make(tmp_path)
    (artifact.folder / MANIFEST).write_bytes(text)
    with pytest.raises(ArtifactError) as caught:
        verify(artifact)
    assert str(caught.value).startswith(f"{artifact.folder}: no readable manifest.json: ")
    assert complaint in str(caught.value) and "remove the folder, and its stage makes it again" in str(caught.value)


def test_an_artifact_that_is_gone(tmp_path):
    artifact = make(tmp_path)
    shutil.rmtree(artifact.folder)
    with pytest.raises(ArtifactError, match=r"no readable manifest\.json: it cannot be read"):
        verify(artifact)


def test_another_whole_artifact_in_its_place_is_refused(tmp_path):
    artifact = make(tmp_path)
    make(tmp_path, files={"rows.jsonl": "three\n"})
    with pytest.raises(ArtifactError, match="holds another artifact"):
        verify(artifact)


def test_publishing_again_replaces_all_that_lay_there(tmp_path):
    make(tmp_path)
    artifact = make(tmp_path, files={"rows.jsonl": "three\n"})
    verify(artifact)
    assert set(folder_digests(artifact.folder)) == {"rows.jsonl"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    def write_half():
        with scratch_folder(tmp_path) as folder:
            fill(folder, {"rows.jsonl": "half"})
            raise error

    with pytest.raises(error):
        write_half()
    assert not list(tmp_path.iterdir())


def test_the_order_of_writing_does_not_matter():
    assert content_digest({"a": "1", "b": "2"}) == content_digest({"b": "2", "a": "1"})
