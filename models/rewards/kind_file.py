"""What kind of reward lies in a folder, noted beside its weights. Loads no torch."""

import json
from pathlib import Path

from models.errors import ArtifactError
from models.settings.base import kinds_of
from models.settings.rewards import RewardKind

KIND_FILE = "reward_kind.json"


def write_kind(folder: Path, config: RewardKind) -> None:
    """Notes beside a reward's weights what kind it is of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KIND_FILE).write_text(json.dumps({"kind": config.kind}), encoding="utf-8")


def read_kind(folder: Path) -> type[RewardKind] | None:
    """The settings class of the kind of reward in a folder; None where there is no reward.

    Raises ArtifactError for a kind that is not known here.
    """
    path = folder / KIND_FILE
    if not path.is_file():
        return None
    kind = json.loads(path.read_text(encoding="utf-8"))["kind"]
    known = kinds_of(RewardKind)
    if kind not in known:
        raise ArtifactError(f"{folder}: a reward of kind {kind!r}; known here are {', '.join(known)}")
    return known[kind]
