"""What was made from what: a graph over the manifests of all artifacts below a folder.

Its nodes are contents, as in the cache (docs/decisions/0003): what several makings gave alike is one node. Which of them is
shown, and when such a content counts as made from something, is said in docs/decisions/0020.
"""

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from models.errors import DataError
from tasks.running.storage import MANIFEST, Content, Manifest, read_manifest_in

MIN_DIGEST_CHARACTERS = 4
FEEDBACK = "feedback"
TEXTS = {"prompts.jsonl", "completions.jsonl"}
"""The files of feedback that say nothing of what labelers said."""


class Lineage:
    """All makings of all contents below a folder, and the walks over them."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        found: dict[Content, list[Manifest]] = {}
        for one in sorted(manifests, key=lambda one: (one.made.created_at, one.artifact.uri)):
            found.setdefault(one.content, []).append(one)
        self.makings = found
        self.makings = {content: self._that_tell(content, own) for content, own in found.items()}

    @classmethod
    def below(cls, root: Path) -> "Lineage":
        """The lineage of all artifacts in `root/artifacts`. Raises ArtifactError naming the folder of a damaged one."""
        return cls(manifests_below(root))

    def find_model(self, sha256: str) -> Content:
        """The content of this digest that was registered as a model: a base may hold the same bytes. Raises DataError as `find` does."""
        registered = {one for one, own in self.makings.items() if any(making.made.registered for making in own)}
        return next((one for one in registered if one.sha256 == sha256), None) or self.find(sha256)

    def find(self, named: str) -> Content:
        """The content that is named by an artifact's folder, or by a digest or its first characters.

        Raises DataError where there is none, and where there are several.
        """
        folder = Path(named)
        if (folder / MANIFEST).is_file():
            return read_manifest_in(folder).content
        start = folder.name.lower()  # a snapshot's folder is named by its digest
        same = [one for one in self._known() if len(start) >= MIN_DIGEST_CHARACTERS and one.sha256.startswith(start)]
        if len(same) == 1:
            return same[0]
        if same:
            listed = "; ".join(sorted(f"{one.kind} {one.sha256}" for one in same)[:10])
            raise DataError(
                f"{named}: {len(same)} artifacts begin so: {listed}; give more of the digest, or the folder"
            )
        raise DataError(
            f"{named}: no artifact of this digest or folder; ask for policy@champion, policy@3, reward@champion, "
            f"labeler:NAME, a digest (its first {MIN_DIGEST_CHARACTERS} characters or more), or an artifact's folder"
        )

    def behind(self, content: Content) -> dict[Content, Manifest | None]:
        """A content and all that it was made from, nearest first, each with the making that is shown; None where it is not here.

        Of several makings the one is shown that brings in the fewest contents not met before, and of these the oldest: what a
        policy learned from stands nearest to it, and what was made alike in other runs from other feedback stays out.
        """
        shown: dict[Content, Manifest | None] = {}
        met, waiting = {content}, deque([content])
        near = {content}  # also that of which texts alone were read: it is of the same run
        while waiting:
            current = waiting.popleft()
            own = self.makings.get(current, ())
            shown[current] = min(own, key=lambda one: len(_read(one) - near), default=None)
            if shown[current] is not None:
                new = [one for one in inputs_of(shown[current]).values() if one not in met]
                waiting.extend(dict.fromkeys(new))
                met.update(new)
                near.update(shown[current].made.inputs.values())
        return shown

    def made_from(self, sources: set[Content]) -> dict[Content, Manifest]:
        """All contents that come from these, oldest first, each with the first making that does.

        The sources are left out, and so is what can be made without them by makings that are all here, down to the first.
        """
        without = self._made_without(sources)
        return {content: one for content, one in self._touched(sources).items() if content not in without}

    def also_made_without(self, sources: set[Content]) -> dict[Content, Manifest]:
        """The contents that were made from these sources, and again, alike, without them."""
        without = self._made_without(sources)
        return {content: one for content, one in self._touched(sources).items() if content in without}

    def _touched(self, sources: set[Content]) -> dict[Content, Manifest]:
        """What has a making that comes from these sources, and the first such making."""
        found: dict[Content, Manifest] = {}

        def comes_from_them(making: Manifest) -> bool:
            return any(one in sources or one in found for one in _read(making))

        _until_nothing_is_new(self.makings, sources, comes_from_them, found)
        return dict(sorted(found.items(), key=lambda item: (item[1].made.created_at, item[0].sha256)))

    def _made_without(self, sources: set[Content]) -> dict[Content, Manifest]:
        """What has a making of which all inputs, and theirs, are here and none is a source."""
        found: dict[Content, Manifest] = {}
        _until_nothing_is_new(self.makings, sources, lambda making: _read(making) <= found.keys(), found)
        return found

    def _known(self) -> set[Content]:
        """All contents that are here, and those that these were made from."""
        return self.makings.keys() | {content for own in self.makings.values() for one in own for content in _read(one)}

    def _that_tell(self, content: Content, makings: list[Manifest]) -> list[Manifest]:
        """The makings that say where a content comes from: those that did not start from itself, and of these, those that read
        artifacts. One that only loaded the same bytes from a file tells nothing."""
        if len(makings) == 1:
            return makings
        own = [one for one in makings if content not in self._all_behind(one)] or makings
        return [one for one in own if _read(one)] or own

    def _all_behind(self, manifest: Manifest) -> set[Content]:
        """Everything that a making may come from, by any making of its inputs."""
        met = set(manifest.made.inputs.values())
        waiting = list(met)
        while waiting:
            for one in self.makings.get(waiting.pop(), ()):
                new = _read(one) - met
                met |= new
                waiting.extend(new)
        return met


def manifests_below(root: Path) -> list[Manifest]:
    """Those of all artifacts in `root/artifacts`. Raises ArtifactError naming the folder of a damaged one."""
    found = []
    for path in sorted((root / "artifacts").glob(f"*/{MANIFEST}")):
        if path.parent.name.startswith(".") or not path.exists():  # it is being written, or made again just now
            continue
        found.append(read_manifest_in(path.parent))
    return found


def inputs_of(manifest: Manifest) -> dict[str, Content]:
    """Input name -> what it was. What was loaded and saved again unchanged is not its own source, nor is feedback of which texts alone were read:
    nothing that a labeler said went into it."""
    silent = texts_read_by(manifest)
    return {name: one for name, one in manifest.made.inputs.items() if one != manifest.content and name not in silent}


def texts_read_by(manifest: Manifest) -> dict[str, Content]:
    """Input name -> the feedback of which only prompts or completions were read: which side a prompt is on, say."""
    made = manifest.made
    return {
        name: made.inputs[name]
        for name, files in made.reads.items()
        if made.inputs[name].kind == FEEDBACK and TEXTS.issuperset(files)
    }


def _read(manifest: Manifest) -> set[Content]:
    return set(inputs_of(manifest).values())


def _until_nothing_is_new(
    makings: dict[Content, list[Manifest]],
    sources: set[Content],
    is_found: Callable[[Manifest], bool],
    found: dict[Content, Manifest],
) -> None:
    """Puts contents into `found` with their first making that `is_found`, again and again until none is added."""
    before = -1
    while len(found) > before:
        before = len(found)
        for content, own in makings.items():
            if content not in found and content not in sources and (making := next(filter(is_found, own), None)):
                found[content] = making
