"""Every setting of the configuration as readable lines."""

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from models.settings.base import OneOf


def describe_fields(model: type[BaseModel], prefix: str = "") -> str:
    """One paragraph per setting: its key, its default (or `required`), its text. Variants of a `kind` are listed in turn."""
    lines = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        lines.append(f"{key}{_default(field.default)}\n    {field.description or ''}")
        for variant in _settings_in(field.annotation, field.metadata):
            kinds = variant.model_fields.get("kind")
            suffix = f" ({get_args(kinds.annotation)[0]})" if kinds and len(get_args(kinds.annotation)) == 1 else ""
            lines.append(f"  {key}{suffix}: {(variant.__doc__ or '').splitlines()[0]}")
            lines.append(describe_fields(variant, f"{key}."))
    return "\n".join(lines)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return " (required)"
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):  # as a preset writes it
        plain = [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in value]
        return f" = {yaml.safe_dump(plain, default_flow_style=True, width=1000).strip()}"
    return f" = {value}"


def _settings_in(annotation: Any, beside: Sequence[Any] = ()) -> list[type[BaseModel]]:
    """The settings models that an annotation allows, with what stands beside it: unions and tuples opened, all kinds at a seam."""
    for seam in (one for one in beside if isinstance(one, OneOf)):
        return list(seam.kinds().values())
    if get_origin(annotation) is Annotated:
        return _settings_in(annotation.__origin__, annotation.__metadata__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [model for part in get_args(annotation) for model in _settings_in(part)]
    return []
