"""Answers to "which labels made this policy?" and "who is affected when ann withdraws?"."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.records import Artifact
from models.settings.pipeline import TrackingConfig
from tasks.lineage.makings import FEEDBACK, Lineage, inputs_of
from tasks.lineage.origin import Origin, feedback_with, is_there, origins_of
from tasks.running.storage import Content, Manifest
from tasks.tracking.registry import digest_of_version, registered_versions


@dataclass(frozen=True)
class Provenance:
    """What is behind something, and what came of it.

    `labeler`: whose feedback was asked for, None where it was an artifact. `subjects`: that feedback, or the artifact.
    `behind`: it and what it was made from, each with the making that is shown (None: not here). `alike`: contents behind it
    that were also made from other inputs. `after`: what was made from it; `also_without`: what was made from it, and again,
    alike, without it. `origins`: by digest of the feedback behind an artifact. `versions`: digest -> its versions in the
    registry.
    """

    asked: str
    labeler: str | None
    subjects: tuple[Content, ...]
    behind: dict[Content, Manifest | None]
    alike: dict[Content, list[Manifest]]
    after: dict[Content, Manifest]
    also_without: dict[Content, Manifest]
    origins: dict[str, Origin]
    versions: dict[str, list[str]]

    @property
    def labelers(self) -> dict[str, int]:
        """Labeler -> most judgements in one of the feedback artifacts behind it, by name."""
        found: dict[str, int] = {}
        for origin in self.origins.values():
            for name, number in origin.judgements.items():
                found[name] = max(number, found.get(name, 0))
        return dict(sorted(found.items()))

    @property
    def models(self) -> dict[Content, Manifest]:
        """The reward models and policies that learned from it."""
        return {content: one for content, one in self.after.items() if one.made.registered}

    @cached_property
    def releases(self) -> list[str]:
        """The versions of the project's code that made all of it."""
        return sorted({release_of(one) for one in (*self.behind.values(), *self.after.values()) if one is not None})

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "asked": self.asked,
            "subjects": [one.model_dump() for one in self.subjects],
            "made_from": [self._entry(content, one) for content, one in self.behind.items()],
            "made_into": [self._entry(content, one) for content, one in self.after.items()],
            "also_made_without": [self._entry(content, one) for content, one in self.also_without.items()],
        }

    def _entry(self, content: Content, manifest: Manifest | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"kind": content.kind, "sha256": content.sha256, "is_here": manifest is not None}
        entry["registered"] = self.versions.get(content.sha256, [])
        if manifest is not None:
            entry |= manifest.artifact.model_dump() | manifest.made.model_dump(mode="json")
            entry["also_made_by"] = [one.artifact.uri for one in self.alike.get(content, [])]
        if origin := self.origins.get(content.sha256) if content.kind == FEEDBACK else None:
            entry["origin"] = {
                "judgements": origin.judgements,
                "prompts": origin.prompts,
                "snapshot_taken_at": origin.taken_at and origin.taken_at.isoformat(),
                "criterion": origin.criterion,
                "withdrawn": {name: at.isoformat() for name, at in origin.withdrawn.items()},
            }
        return entry


def release_of(manifest: Manifest) -> str:
    """Rein's version and, where it was known, the commit: `Rein 0.1.0, commit 67409da3e34e with edits`."""
    commit, _, edited = (manifest.made.git_commit or "").partition("-")
    named = f"Rein {manifest.made.version}" + (f", commit {commit[:12]}" if commit else "")
    return f"{named} with edits" if edited else named


def trace(asked: str, root: Path, store_url: str, tracking: TrackingConfig) -> Provenance:
    """The provenance of `policy@champion`, `reward@2`, `labeler:ann`, a digest, or an artifact's or a snapshot's folder.

    Raises DataError for what cannot be found, and ArtifactError naming the folder of a damaged artifact.
    """
    lineage = Lineage.below(root)
    kind, colon, name = asked.partition(":")
    if kind == "labeler" and colon:
        subjects = tuple(Content(kind=FEEDBACK, sha256=one) for one in sorted(labeled_by(name, lineage, store_url)))
        return _provenance(asked, subjects, lineage, store_url, tracking, labeler=name)
    model, at, version = asked.partition("@")
    if at and not Path(asked).exists():
        if not is_there(tracking.uri):
            raise DataError(f"{asked}: {tracking.uri} does not exist, so that no model is registered there")
        names = {"policy": tracking.policy_name, "reward": tracking.reward_name}
        sha256 = digest_of_version(tracking, names.get(model, model), version)
        return _provenance(asked, (lineage.find_model(sha256),), lineage, store_url, tracking)
    return _provenance(asked, (lineage.find(asked),), lineage, store_url, tracking)


def trace_artifact(artifact: Artifact, root: Path, store_url: str, tracking: TrackingConfig) -> Provenance:
    """The provenance of an artifact. Raises ArtifactError naming the folder of a damaged one."""
    content = Content(**artifact.identity)
    return _provenance(content.sha256, (content,), Lineage.below(root), store_url, tracking)


def labeled_by(name: str, lineage: Lineage, store_url: str) -> set[str]:
    """The digests of all feedback, here and in the feedback store, that holds judgements of a labeler."""
    folders = {
        content.sha256: own[0].artifact.folder for content, own in lineage.makings.items() if content.kind == FEEDBACK
    }
    return feedback_with(name, folders, store_url)


def _provenance(
    asked: str,
    subjects: tuple[Content, ...],
    lineage: Lineage,
    store_url: str,
    tracking: TrackingConfig,
    labeler: str | None = None,
) -> Provenance:
    behind = lineage.behind(subjects[0]) if labeler is None else {one: _first(lineage, one) for one in subjects}
    alike = {content: _others(one, lineage.makings[content]) for content, one in behind.items() if one is not None}
    after = lineage.made_from(set(subjects))
    read = {one.sha256: made.artifact.folder for one, made in behind.items() if made and one.kind == FEEDBACK}
    origins = origins_of(read, store_url) if labeler is None else {}
    return Provenance(
        asked,
        labeler,
        subjects,
        behind,
        {content: others for content, others in alike.items() if others},
        after,
        lineage.also_made_without(set(subjects)),
        origins,
        registered_versions(tracking, {one.sha256 for one in behind | after}) if is_there(tracking.uri) else {},
    )


def _first(lineage: Lineage, content: Content) -> Manifest | None:
    return next(iter(lineage.makings.get(content, ())), None)


def _others(shown: Manifest, makings: list[Manifest]) -> list[Manifest]:
    """The makings of the same content from other inputs than those of the one that is shown."""
    return [one for one in makings if inputs_of(one) != inputs_of(shown)]
