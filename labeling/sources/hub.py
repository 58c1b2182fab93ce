"""Rows, texts, demonstrations and prompts of a dataset on the Hugging Face hub, or of a local folder of one."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from labeling.sources.bad_rows import BadRows, Row
from labeling.sources.columns import read_columns, read_text
from labeling.sources.exchanges import read_demonstration, read_prompt
from models.errors import ConfigError, DataError
from models.settings.base import Settings
from models.settings.sources import DemonstrationHub, HubDataset, TextHub


def texts(source: TextHub, seed: int, feedback: Path | None) -> list[str]:
    """The texts of its column."""
    bad = BadRows()
    found = read_columns(source.name, dataset_rows(source), {"column": source.column}, bad, read_text)
    if bad:
        bad.refuse(source.name)
    return found


def demonstrations(source: DemonstrationHub, seed: int, feedback: Path | None) -> list[tuple[str, str]]:
    """Prompt and completion of its two columns, or of the whole dialogues in its one."""
    bad = BadRows()
    columns = {"prompt_column": source.prompt_column, "completion_column": source.completion_column}
    found = read_columns(source.name, dataset_rows(source), columns, bad, read_demonstration)
    if bad:
        bad.refuse(source.name)
    return found


def prompts(source: TextHub, seed: int, bad: BadRows) -> list[str]:
    """The texts and conversations of its column."""
    return read_columns(source.name, dataset_rows(source), {"column": source.column}, bad, read_prompt)


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
        elif isinstance(own, dict):
            several = {key: pin_revisions(one) for key, one in own.items() if isinstance(one, Settings)}
            if any(several[key] is not own[key] for key in several):
                changed[field] = own | several
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


def dataset_rows(dataset: HubDataset) -> Iterator[Row]:
    """The rows in order, each with its number from 1. Raises DataError for what cannot be loaded, and for a split that is not there."""
    import datasets

    try:
        yield from (Row(Path(dataset.name), number, values) for number, values in enumerate(_table(dataset), start=1))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"dataset {dataset.name!r} cannot be loaded: {str(error).splitlines()[0]}") from None


def _table(dataset: HubDataset) -> Iterable[dict[str, Any]]:
    import datasets

    folder = Path(dataset.name)
    if not any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        # streamed: the cache of `datasets` takes a file that has its old date for the old file, and would keep the texts elsewhere
        return datasets.load_dataset(
            dataset.name, dataset.subset, split=dataset.split, revision=dataset.revision, streaming=True
        )
    if dataset.subset is not None:
        raise DataError(f"dataset {dataset.name!r}: subset: a folder that `save_to_disk` wrote has none")
    found = datasets.load_from_disk(dataset.name)
    splits = found if isinstance(found, datasets.DatasetDict) else {str(found.split or "train"): found}
    if dataset.split not in splits:
        there = ", ".join(map(repr, splits))
        raise DataError(f"dataset {dataset.name!r}: split: there is no {dataset.split!r}; there are {there}")
    return splits[dataset.split]
