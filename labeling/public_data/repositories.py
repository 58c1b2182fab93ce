"""The files of a public repository on GitHub or the Hugging Face hub: at a fixed commit, or out of a copy on this machine."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import httpx

from models.errors import DataError


@dataclass(frozen=True)
class Repository:
    """What is fetched from where, and what may be done with it."""

    name: str
    """Owner and name."""
    commit: str
    licence: str
    sha256: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of files whose content is known: path -> hex digest. From the hub these alone are fetched."""
    host: Literal["github.com", "huggingface.co"] = "github.com"

    @property
    def page(self) -> str:
        """Its address."""
        return f"https://{self.host}/{self.name}"


@dataclass
class RepositoryFiles:
    """What lies in a repository; the digest of each file that is read is kept."""

    repository: Repository
    place: str
    """Where it is read from, for messages."""
    root: Path | zipfile.Path
    commit: str
    """The one that the archive says it is of; empty for a copy that says nothing."""
    sha256: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        """The content of a file. Raises DataError if it is missing, or should be the known one and is not."""
        file = self.root.joinpath(path)
        if not file.is_file():
            raise DataError(f"{self.place}: no file {path} in it")
        try:
            content = file.read_bytes()
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.place}: {path} is damaged ({error})") from None
        self.sha256[path] = hashlib.sha256(content).hexdigest()
        if path in self.unlike_the_known and self.commit == self.repository.commit:
            raise DataError(f"{self.place}: {path} has the sha256 {self.sha256[path]}, not the one that is known")
        return content

    def below(self, folder: str, ending: str) -> list[str]:
        """The paths of all files below a folder that end so, sorted. Raises DataError if there are none."""
        found = sorted(_paths(self.root.joinpath(folder), folder, ending))
        if not found:
            raise DataError(f"{self.place}: no files {folder}/…{ending} in it")
        return found

    @property
    def unlike_the_known(self) -> list[str]:
        """Files that were read and have another content than the known one."""
        known = self.repository.sha256
        return [path for path, digest in self.sha256.items() if known.get(path, digest) != digest]


@contextmanager
def opened(repository: Repository, copies: Path | None = None) -> Iterator[RepositoryFiles]:
    """The files of a repository, from where it is published or from a folder with copies.

    A copy is called like the repository, or so with something after a hyphen, and is a folder or a .zip as GitHub gives it.
    Raises DataError if it cannot be had.
    """
    if copies is None:
        place = f"{repository.page} at {repository.commit}"
        with _archive(io.BytesIO(fetched(repository)), place) as archive:
            files = _files_in(archive, repository, place)
            if files.commit != repository.commit:
                raise DataError(f"{place}: it says that it is of commit {files.commit or 'none'}")
            yield files
        return
    copy = _copy_of(repository, copies)
    if copy.is_dir():
        yield RepositoryFiles(repository, str(copy), copy, "")
        return
    with copy.open("rb") as content, _archive(content, str(copy)) as archive:
        yield _files_in(archive, repository, str(copy))


def fetched(repository: Repository, transport: httpx.BaseTransport | None = None) -> bytes:
    """The repository's archive, over https alone; of the hub, which has none, one is made in the same form.

    Raises DataError, in one line, if something does not come.
    """
    hooks = {"request": [_only_https]}
    with httpx.Client(follow_redirects=True, timeout=60, transport=transport, event_hooks=hooks) as client:
        if repository.host == "github.com":
            return _content(client, f"{repository.page}/archive/{repository.commit}.zip")
        address = f"{repository.page}/resolve/{repository.commit}"
        contents = {path: _content(client, f"{address}/{path}") for path in repository.sha256}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened_archive:
        opened_archive.comment = repository.commit.encode()
        for path, content in contents.items():
            opened_archive.writestr(f"{repository.commit}/{path}", content)
    return archive.getvalue()


def _content(client: httpx.Client, url: str) -> bytes:
    try:
        return client.get(url).raise_for_status().content
    except httpx.HTTPStatusError as error:
        why = f"the answer was {error.response.status_code} {error.response.reason_phrase}"
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
    raise DataError(f"{url}: cannot be fetched ({why}); --from FOLDER reads a copy that you have fetched otherwise")


def _only_https(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise httpx.UnsupportedProtocol(f"{request.url} is not https", request=request)


@contextmanager
def _archive(content: io.BufferedIOBase, place: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(content)
    except zipfile.BadZipFile:
        raise DataError(f"{place}: it is no zip archive") from None
    with archive:
        yield archive


def _files_in(archive: zipfile.ZipFile, repository: Repository, place: str) -> RepositoryFiles:
    """GitHub puts everything into one folder, and the commit into the archive's comment."""
    top = list(zipfile.Path(archive).iterdir())
    root = top[0] if len(top) == 1 and top[0].is_dir() else zipfile.Path(archive)
    return RepositoryFiles(repository, place, root, archive.comment.decode("ascii", errors="replace"))


def _copy_of(repository: Repository, copies: Path) -> Path:
    if not copies.is_dir():
        raise DataError(f"{copies}: no such folder")
    name = repository.name.partition("/")[2]
    found = [
        one
        for one in sorted(copies.iterdir())
        if f"{one.name.removesuffix('.zip')}-".startswith(f"{name}-") and (one.is_dir() or one.suffix == ".zip")
    ]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise DataError(f"{copies}: one folder or .zip of {repository.page} should lie there as {name}; found {names}")
    return found[0]


def _paths(folder: Path | zipfile.Path, path: str, ending: str) -> Iterator[str]:
    for one in folder.iterdir() if folder.is_dir() else ():
        below = f"{path}/{one.name}"
        if one.is_dir():
            yield from _paths(one, below, ending)
        elif below.endswith(ending):
            yield below
