"""A model that a person names: its files may be anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ArtifactError, PipelineError


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """While a model is loaded from this folder: files that are missing, damaged or no model's become an ArtifactError."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # of transformers, tokenizers or safetensors, each of its own class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ArtifactError(f"{folder}: no model can be loaded from it: {reason}") from None
