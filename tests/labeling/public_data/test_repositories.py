"""Archives from GitHub, answered here by a function in its place, and copies of repositories in a folder."""

import hashlib

import httpx
import pytest

from labeling.public_data.repositories import Repository, fetched, opened
from models.errors import DataError
from tests.labeling.public_data.raw_files import as_archive, as_folders

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KNOWN = hashlib.sha256(b"words").hexdigest()
REPOSITORY = Repository("someone/words", COMMIT, "CC0", {"a.csv": KNOWN})
URL = f"https://github.com/someone/words/archive/{COMMIT}.zip"


def answers(found: dict[str, httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: found.get(str(request.url), httpx.Response(404)))


def test_the_archive_of_the_commit_is_fetched_and_redirects_are_followed():
    elsewhere = "https://codeload.example/words.zip"
    moved = httpx.Response(302, headers={"location": elsewhere})
    assert fetched(REPOSITORY, answers({URL: moved, elsewhere: httpx.Response(200, content=b"zip")})) == b"zip"


def test_of_the_hub_the_known_files_are_fetched(monkeypatch):
    """Its second file is said to be missing, then both come."""
    hub = Repository("someone/words", COMMIT, "CC0", {"in/a.bin": KNOWN, "b.bin": KNOWN}, "huggingface.co")
    address = f"https://huggingface.co/someone/words/resolve/{COMMIT}"
    words = httpx.Response(200, content=b"words")
    with pytest.raises(DataError, match=rf"^{address}/b.bin: cannot be fetched \(the answer was 404 Not Found\)"):
        fetched(hub, answers({f"{address}/in/a.bin": words}))
    archive = fetched(hub, answers({f"{address}/in/a.bin": words, f"{address}/b.bin": words}))
    monkeypatch.setattr("labeling.public_data.repositories.fetched", lambda _: archive)
    with opened(hub) as found:
        assert (found.read("in/a.bin"), found.read("b.bin"), found.commit) == (b"words", b"words", COMMIT)


def test_a_way_that_is_not_https_is_not_taken():
    moved = httpx.Response(302, headers={"location": "http://codeload.example/words.zip"})
    plain = {URL: moved, "http://codeload.example/words.zip": httpx.Response(200, content=b"zip")}
    with pytest.raises(DataError, match=r"^https.*\(http://codeload.example/words.zip is not https\); --from FOLDER"):
        fetched(REPOSITORY, answers(plain))


def test_why_nothing_was_fetched_is_said_in_one_line():
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno -3] Temporary failure in name resolution", request=request)

    for transport, said in (
        (answers({}), "the answer was 404 Not Found"),
        (httpx.MockTransport(away), "[Errno -3] Temporary failure in name resolution"),
    ):
        with pytest.raises(DataError) as caught:
            fetched(REPOSITORY, transport)
        other = "--from FOLDER reads a copy that you have fetched otherwise"
        assert str(caught.value) == f"{URL}: cannot be fetched ({said}); {other}"


@pytest.mark.parametrize("name", ["words", "words-main", f"words-{COMMIT}"])
def test_a_copy_is_a_folder_or_an_archive(tmp_path, name):
    files = {"a.csv": b"words", "in/b.tsv": b"more", "in/deep/c.tsv": b"", "in/d.txt": b""}
    as_folders({name: files}, tmp_path / "folders")
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / f"{name}.zip").write_bytes(as_archive("words", files, COMMIT))
    for place, commit in (("folders", ""), ("zips", COMMIT)):
        with opened(REPOSITORY, tmp_path / place) as found:
            assert found.read("a.csv") == b"words" and found.commit == commit
            assert found.below("in", ".tsv") == ["in/b.tsv", "in/deep/c.tsv"]
            assert found.sha256 == {"a.csv": KNOWN} and found.unlike_the_known == []


def test_a_file_of_another_content_is_refused_where_the_archive_is_of_the_commit(tmp_path):
    other = {"a.csv": b"other words"}
    as_folders({"words": other}, tmp_path / "folder")
    with opened(REPOSITORY, tmp_path / "folder") as found:
        assert found.read("a.csv") == b"other words" and found.unlike_the_known == ["a.csv"]
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip/words.zip").write_bytes(as_archive("words", other, COMMIT))
    with (
        opened(REPOSITORY, tmp_path / "zip") as found,
        pytest.raises(DataError, match=r"words.zip: a.csv has the sha256 .*, not the one that is known"),
    ):
        found.read("a.csv")


def test_an_archive_of_another_commit_is_refused_when_fetched(monkeypatch):
    monkeypatch.setattr("labeling.public_data.repositories.fetched", lambda _: as_archive("words", {}, "f" * 40))
    with pytest.raises(DataError, match=f"it says that it is of commit {'f' * 40}"), opened(REPOSITORY):
        pass


def test_copies_that_cannot_be_told_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"), opened(REPOSITORY, tmp_path / "nowhere"):
        pass
    (tmp_path / "wordsmith").mkdir()
    with pytest.raises(DataError, match="should lie there as words; found none"), opened(REPOSITORY, tmp_path):
        pass
    (tmp_path / "words.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"words.zip: it is no zip archive"), opened(REPOSITORY, tmp_path):
        pass
    (tmp_path / "words-main").mkdir()
    with pytest.raises(DataError, match=r"found words-main, words.zip"), opened(REPOSITORY, tmp_path):
        pass


def test_a_damaged_archive_is_named(tmp_path):
    """A byte of the text is another one, so that its checksum is wrong."""
    content = as_archive("words", {"a.csv": b"words"}, COMMIT)
    (tmp_path / "words.zip").write_bytes(content.replace(b"wordsPK", b"wordzPK"))
    with opened(REPOSITORY, tmp_path) as found, pytest.raises(DataError, match=r"words.zip: a.csv is damaged"):
        found.read("a.csv")
