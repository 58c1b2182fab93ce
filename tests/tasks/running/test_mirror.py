"""Artifacts that several machines share: what comes from the mirror is whole, or it is not taken."""

import json
import os
import shutil
import uuid

import fsspec
import pytest

from models.errors import ArtifactError, ConfigError
from models.records import Artifact
from tasks.running.mirror import bring_artifact, find_artifact, keep_in_mirror
from tasks.running.storage import MANIFEST, STEPS, publish, read_manifest, scratch_folder, verify
from tests.tasks.hand_made import making


@pytest.fixture(params=["file", "memory", "s3"])
def mirror(request, tmp_path):
    """The address of an empty mirror."""
    if request.param == "file":
        yield f"file://{tmp_path}/shared/rein"
    elif request.param == "memory":
        yield "memory://rein"
        fsspec.filesystem("memory").store.clear()
    else:
        if "REIN_TEST_S3" not in os.environ:
            pytest.skip("REIN_TEST_S3 names no bucket to try S3 with (s3://bucket; extra `s3`; AWS_ENDPOINT_URL, keys)")
        yield f"{os.environ['REIN_TEST_S3']}/{uuid.uuid4()}"


def make(root, text="one\n", key="pairs-1") -> Artifact:
    with scratch_folder(root) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "weights.bin").write_text("two")
        (folder / "rows.jsonl").write_text(text)
        return publish(folder, root / key, "pairs", 1, "run-1", {"loss": 0.5}, making("pairs"), 1.0)


def test_another_machine_finds_what_was_kept(tmp_path, mirror):
    made = make(tmp_path / "here")
    keep_in_mirror(made, mirror, is_new=True)
    there = tmp_path / "there" / "pairs-1"
    found = find_artifact(there, mirror)
    assert found == made.model_copy(update={"uri": str(there)})
    verify(found)
    assert (there / "model" / "weights.bin").read_text() == "two"
    assert read_manifest(found).artifact.uri == str(there)
    assert read_manifest(found).metrics == {"loss": 0.5}
    assert [path.name for path in there.parent.iterdir()] == ["pairs-1"]


def test_the_steps_of_a_training_come_along(tmp_path, mirror):
    made = make(tmp_path / "here")
    (made.folder / STEPS).write_text("{}\n")
    keep_in_mirror(made, mirror, is_new=True)
    assert (find_artifact(tmp_path / "there" / "pairs-1", mirror).folder / STEPS).read_text() == "{}\n"


def test_an_artifact_is_brought_from_below_the_root_from_the_mirror_or_from_where_it_was_made(tmp_path, mirror):
    made = make(tmp_path / "first" / "artifacts")
    assert bring_artifact(made, tmp_path / "second", None) == made
    keep_in_mirror(made, mirror, is_new=True)
    here = tmp_path / "second" / "artifacts" / "pairs-1"
    assert bring_artifact(made, tmp_path / "second", mirror) == made.model_copy(update={"uri": str(here)})
    shutil.rmtree(tmp_path / "first")
    assert bring_artifact(made, tmp_path / "second", None).folder == here
    other = make(tmp_path / "third" / "artifacts", text="of another content, by the same key\n")
    with pytest.raises(
        ArtifactError, match=rf"pairs pairs-1 \(SHA-256 {made.sha256[:16]}\) is in none of {other.folder.parent}"
    ):
        bring_artifact(made, tmp_path / "third", None)


def test_what_is_whole_here_is_taken_without_asking(tmp_path):
    made = make(tmp_path)
    assert find_artifact(made.folder, "file:///proc/nowhere") == made
    assert find_artifact(made.folder, None) == made


def test_what_is_damaged_here_is_replaced_from_there(tmp_path, mirror):
    made = make(tmp_path)
    keep_in_mirror(made, mirror, is_new=True)
    (made.folder / "rows.jsonl").write_text("altered")
    assert find_artifact(made.folder, None) is None
    assert find_artifact(made.folder, mirror) == made
    assert (made.folder / "rows.jsonl").read_text() == "one\n"


def test_what_is_nowhere_is_to_be_made(tmp_path, mirror):
    assert find_artifact(tmp_path / "pairs-1", mirror) is None
    assert list(tmp_path.glob("pairs-1")) == []


@pytest.mark.parametrize("damage", ["altered", "no manifest", "manifest of something else", "not json"])
def test_what_is_not_whole_there_is_not_taken(tmp_path, damage):
    place = tmp_path / "shared" / "pairs-1"
    keep_in_mirror(make(tmp_path / "here"), f"file://{place.parent}", is_new=True)
    if damage == "altered":
        (place / "rows.jsonl").write_text("zero\n")
    elif damage == "no manifest":
        (place / MANIFEST).unlink()
    else:
        (place / MANIFEST).write_text("[]" if damage == "manifest of something else" else "{")
    there = tmp_path / "there"
    assert find_artifact(there / "pairs-1", f"file://{place.parent}") is None
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("name", ["../../stolen", "{tmp_path}/stolen"])
def test_a_manifest_cannot_write_outside(tmp_path, name):
    place = tmp_path / "shared" / "a" / "pairs-1"
    keep_in_mirror(make(tmp_path / "here"), f"file://{place.parent}", is_new=True)
    (tmp_path / "shared" / "stolen").write_text("x")
    manifest = json.loads((place / MANIFEST).read_text())
    manifest["files"] = {name.format(tmp_path=tmp_path): "0"} | manifest["files"]
    (place / MANIFEST).write_text(json.dumps(manifest))
    assert find_artifact(tmp_path / "there" / "pairs-1", f"file://{place.parent}") is None
    assert not (tmp_path / "stolen").exists() and not (tmp_path / "there" / "stolen").exists()


def test_only_a_new_artifact_replaces_the_one_that_is_there(tmp_path, mirror):
    keep_in_mirror(make(tmp_path / "one"), mirror, is_new=True)
    other = make(tmp_path / "two", text="other\n")
    keep_in_mirror(other, mirror, is_new=False)
    assert find_artifact(tmp_path / "a" / "pairs-1", mirror).sha256 != other.sha256
    keep_in_mirror(other, mirror, is_new=True)
    assert find_artifact(tmp_path / "b" / "pairs-1", mirror).sha256 == other.sha256


def test_a_copy_that_was_cut_off_is_no_artifact(tmp_path):
    made, place = make(tmp_path / "here"), tmp_path / "shared" / "pairs-1"
    keep_in_mirror(made, f"file://{place.parent}", is_new=True)
    (place / "rows.jsonl").unlink()
    (place / "rows.jsonl").mkdir()  # the copying of this file will fail
    with pytest.raises(ArtifactError, match=r"storage\.mirror"):
        keep_in_mirror(made, f"file://{place.parent}", is_new=True)
    assert not (place / MANIFEST).exists()


def test_a_mirror_that_cannot_be_used_is_named(tmp_path):
    made = make(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"storage\.mirror file://.*/file: NotADirectoryError"):
        keep_in_mirror(made, f"file://{tmp_path}/file", is_new=True)
    shutil.rmtree(made.folder)
    with pytest.raises(ConfigError, match=r"storage\.mirror nosuch://x: .*extra `s3`"):
        find_artifact(made.folder, "nosuch://x")
