"""A model that somebody names to try it: where its files lie, and what its manifest says it was made from."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.errors import ArtifactError, DataError
from models.settings.generation import SamplingConfig
from models.settings.pipeline import TrackingConfig
from tasks.lineage.makings import Lineage
from tasks.lineage.origin import is_there
from tasks.running.storage import MANIFEST, Manifest, read_manifest_in


@dataclass(frozen=True)
class FoundModel:
    """`folder`: the model's files. `base`, `reward`: those of what it was tuned from and on; None where that is not known, or not here.

    `sampling`: as the run that tuned it sampled; the defaults where that is not known.
    """

    folder: Path
    base: Path | None = None
    reward: Path | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


def find_model(asked: str, what: Literal["policy", "reward"], root: Path, tracking: TrackingConfig) -> FoundModel:
    """The model in a folder, or of a registered version, by its number or alias: `3`, `champion`, `policy@champion`, `my-policy@3`.

    Raises DataError where there is none, ArtifactError where its files are not below `root`.
    """
    if Path(asked).exists():
        return _in_folder(Path(asked).resolve(), root)
    if os.sep in asked:
        raise DataError(f"{asked}: no such folder")
    if not is_there(tracking.uri):
        raise DataError(f"{asked}: no such folder, and no model is registered: {tracking.uri} does not exist")
    from tasks.tracking.registry import digest_of_version  # loads MLflow, which a folder needs not

    known = {"policy": tracking.policy_name, "reward": tracking.reward_name}
    name, _, version = asked.rpartition("@")
    sha256 = digest_of_version(tracking, known[what] if name in ("", what) else name, version)
    lineage = Lineage.below(root)
    own = [one for content, (one, *_) in lineage.makings.items() if content.sha256 == sha256 and one.made.registered]
    if not own:
        raise ArtifactError(
            f"{asked}: its files (SHA-256 {sha256[:16]}) are not in {root}/artifacts; say with --root where it was made, or name its folder"
        )
    return _made(own[0], lineage)


def _in_folder(folder: Path, root: Path) -> FoundModel:
    """The model of an artifact, by its folder or that of its `model/`; or any folder with a model's files."""
    artifact = folder.parent if folder.name == "model" else folder
    if (artifact / MANIFEST).is_file():
        return _made(read_manifest_in(artifact), Lineage.below(root))
    return FoundModel(folder)


def _made(manifest: Manifest, lineage: Lineage) -> FoundModel:
    def input_folder(name: str) -> Path | None:
        content = manifest.made.inputs.get(name)
        making = next(iter(lineage.makings.get(content, ())), None) if content else None
        return making.artifact.folder / "model" if making else None

    sampling = SamplingConfig.model_validate(manifest.made.settings.get("sampling", {}))
    return FoundModel(manifest.artifact.folder / "model", input_folder("base"), input_folder("reward"), sampling)
