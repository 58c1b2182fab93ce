"""Texts, demonstrations and prompts from a dataset of the Hugging Face hub, or from a local folder of one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from labeling.sources.columns import Row, read_columns
from models.errors import ConfigError, DataError
from models.settings.base import Settings
from models.settings.sources import DemonstrationHub, HubDataset, TextHub


def texts(source: TextHub, seed: int, feedback: Path | None) -> list[str]:
    """The texts of its column."""
    return prompts(source, seed)


def demonstrations(source: DemonstrationHub, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """The texts of its two columns."""
    columns = (source.prompt_column, source.completion_column)
    return [(row[0], row[1]) for row in read_columns(source.name, _hub_rows(source), columns)]


def prompts(source: TextHub, seed: int) -> list[str]:
    """The texts of its column."""
    return [row[0] for row in read_columns(source.name, _hub_rows(source), (source.column,))]


Config = TypeVar("Config", bound=Settings)


def pin_revisions(settings: Config) -> Config:
    """The same settings, in which each dataset on the hub has the commit that its `revision` is now.

    Raises DataError naming the dataset where the hub does not say it, ConfigError for the revision of a local folder.
    """
    changed: dict[str, Any] = {}
    for field in type(settings).model_fields:
        own = getattr(settings, field)
        if isinstance(own, Settings) and (pinned := pin_revisions(own)) is not own:
            changed[field] = pinned
    if isinstance(settings, HubDataset):
        if not Path(settings.name).exists():
            changed["revision"] = commit_of(settings.name, settings.revision)
        elif settings.revision is not None:
            raise ConfigError(f"{settings.name}: revision: a local folder has none; it counts by what it holds")
    return settings.model_copy(update=changed) if changed else settings


def commit_of(name: str, revision: str | None) -> str:
    """The commit of a dataset on the hub that a branch, tag or (the beginning of) a commit stands for."""
    from huggingface_hub import HfApi

    if revision is not None and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    try:
        return HfApi().dataset_info(name, revision=revision).sha
    except Exception as error:  # of the hub, of its transport (which is of whichever package), of the name
        at = f" at {revision}" if revision else ""
        raise DataError(
            f"dataset {name!r}{at}: the hub does not say its commit ({str(error).splitlines()[0]}); name a local folder, or a whole commit"
        ) from None


def _hub_rows(source: TextHub | DemonstrationHub) -> Iterator[Row]:
    import datasets

    try:
        # streamed: the cache of `datasets` takes a file that has its old date for the old file, and would keep the texts elsewhere
        table = datasets.load_dataset(
            source.name, source.subset, split=source.split, revision=source.revision, streaming=True
        )
        yield from enumerate(table, start=1)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"dataset {source.name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
