"""What was made from what: artifacts on disk name the artifacts that they were made from."""

import json
from pathlib import Path

from models.records import Artifact
from tasks.storage import MANIFEST


def made_from(root: Path, sources: set[str]) -> list[Artifact]:
    """All artifacts below `root/artifacts` that come from artifacts with these digests, over any number of steps.

    The sources themselves are left out. Sorted by kind and digest; of several with equal content one is given.
    """
    manifests = [_read(path) for path in sorted((root / "artifacts").glob(f"*/{MANIFEST}"))]
    reached, found = set(sources), {}
    growing = True
    while growing:
        growing = False
        for manifest in manifests:
            artifact = Artifact.model_validate(manifest["artifact"])
            if artifact.sha256 not in reached and reached & set(manifest["inputs"]):
                reached.add(artifact.sha256)
                found[artifact.sha256] = artifact
                growing = True
    return sorted(found.values(), key=lambda one: (one.kind, one.sha256))


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
