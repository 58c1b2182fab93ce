"""Which keys there are in settings, of every kind, and which of them somebody meant who wrote another."""

import difflib
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from models.settings.base import OneOf

MOST_NAMED = 3


def settings_in(annotation: Any, beside: Sequence[Any] = ()) -> list[type[BaseModel]]:
    """The settings models that an annotation allows, with what stands beside it: unions and tuples opened, all kinds at a seam."""
    for seam in (one for one in beside if isinstance(one, OneOf)):
        return list(seam.kinds().values())
    if get_origin(annotation) is Annotated:
        return settings_in(annotation.__origin__, annotation.__metadata__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [model for part in get_args(annotation) for model in settings_in(part)]
    return []


def kind_of(variant: type[BaseModel]) -> str | None:
    """The one kind that these settings are of, if they are of one."""
    kinds = variant.model_fields.get("kind")
    return get_args(kinds.annotation)[0] if kinds and len(get_args(kinds.annotation)) == 1 else None


def describe_unknown(model: type[BaseModel], key: str) -> str:
    """What to say of a dotted key that does not fit: the kind that has it, the nearest key, or where all stand."""
    known: dict[str, list[str | None]] = {}
    for one, kind in _keys(model):
        known.setdefault(one, []).append(kind)
    if kinds := [kind for kind in known.get(key, ()) if kind]:
        return f"no such key of the kind that is set; of kind {' and '.join(dict.fromkeys(kinds))} there is"
    if near := _nearest(key, list(known)):
        return f"no such key; did you mean {' or '.join(near)}? (`rein fields` lists all)"
    return "no such key (see `rein fields` for all of them)"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """(dotted key, kind of the settings that it stands in)."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", kind_of(model)
        for variant in settings_in(field.annotation, field.metadata):
            yield from _keys(variant, f"{prefix}{name}.")


def _nearest(key: str, known: list[str]) -> list[str]:
    """First those beside it, then those that are called so elsewhere, then any that looks alike."""
    above, _, last = key.rpartition(".")
    beside = {one.rpartition(".")[2]: one for one in known if one.rpartition(".")[0] == above}
    if near := difflib.get_close_matches(last, beside, n=1):
        return [beside[near[0]]]
    elsewhere = [one for one in known if one.rpartition(".")[2] == last]
    return elsewhere[:MOST_NAMED] or difflib.get_close_matches(key, known, n=1, cutoff=0.75)
