"""Texts, demonstrations and prompts from a dataset of the Hugging Face hub, or from a local folder of one."""

from collections.abc import Iterator
from pathlib import Path

from labeling.sources.columns import Row, read_columns
from models.errors import DataError
from models.settings.sources import DemonstrationHub, TextHub


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


def _hub_rows(source: TextHub | DemonstrationHub) -> Iterator[Row]:
    import datasets

    try:
        # streamed: the cache of `datasets` takes a file that has its old date for the old file, and would keep the texts elsewhere
        table = datasets.load_dataset(source.name, source.subset, split=source.split, streaming=True)
        yield from enumerate(table, start=1)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"dataset {source.name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
