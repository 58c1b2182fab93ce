"""Every setting of the configuration as readable lines, and as a page."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import yaml
from cyclopts import Parameter
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from models.errors import ConfigError
from models.setting_keys import kind_of, settings_in
from models.settings.pipeline import PipelineConfig


def fields(prefix: str = "", *, markdown: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Prints every setting, what it means and its default.

    Parameters
    ----------
    prefix
        Only those whose key begins so, such as tuning.kl.
    markdown
        All of them as the page docs/settings.md.
    """
    if markdown:
        print(settings_page(PipelineConfig), end="")
    else:
        print(describe_fields_below(PipelineConfig, prefix))


def describe_fields(model: type[BaseModel], prefix: str = "") -> str:
    """One paragraph per setting: its key, its default (or `required`), its text. Variants of a `kind` are listed in turn."""
    lines = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        lines.append(f"{key}{_default(field.default)}\n    {field.description or ''}")
        for variant in settings_in(field.annotation, field.metadata):
            suffix = f" ({kind})" if (kind := kind_of(variant)) else ""
            lines.append(f"  {key}{suffix}: {(variant.__doc__ or '').splitlines()[0]}")
            lines.append(describe_fields(variant, f"{key}."))
    return "\n".join(lines)


def describe_fields_below(model: type[BaseModel], prefix: str) -> str:
    """The same of those settings whose key begins so. Raises ConfigError where none does."""
    shown, lines = False, []
    for line in describe_fields(model).splitlines():
        if not line.startswith("    "):
            shown = line.strip().startswith(prefix)
        if shown:
            lines.append(line)
    if not lines:
        raise ConfigError(f"no setting begins with {prefix!r}; `rein fields` lists all")
    return "\n".join(lines)


def settings_page(model: type[BaseModel]) -> str:
    """Every setting in Markdown: a table for each group of settings and each kind, which stands where it is first met."""
    groups = dict(_groups(model))
    tables = [f"## {title}\n\n{_text(group)}\n\n{_table(group, groups)}" for group, title in groups.items()]
    begins = ["# Every setting", "Written by `rein fields --markdown`; how settings are given: docs/options.md."]
    return "\n\n".join([*begins, *tables]) + "\n"


def _groups(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    """Each settings class below, with its key and kind, in the order of the form; some come more than once, and the first key counts."""
    yield model, "The run"
    waiting, seen = [(model, "")], {model}
    while waiting:
        group, prefix = waiting.pop(0)
        below = []
        for name, field in group.model_fields.items():
            for variant in settings_in(field.annotation, field.metadata):
                if variant not in seen:
                    seen.add(variant)
                    below.append((variant, f"{prefix}{name}."))
                    kind = kind_of(variant)
                    yield variant, f"{prefix}{name}: {kind}" if kind else f"{prefix}{name}"
        waiting = below + waiting


def _text(group: type[BaseModel]) -> str:
    return " ".join((group.__doc__ or "").split())


def _table(group: type[BaseModel], groups: dict[type[BaseModel], str]) -> str:
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, field in group.model_fields.items():
        if name == "kind" and kind_of(group):
            continue
        below = settings_in(field.annotation, field.metadata)
        links = ", ".join(f"[{kind_of(one) or name}](#{_anchor(groups[one])})" for one in below)
        default = (
            ""
            if below and isinstance(field.default, BaseModel)
            else _default(field.default).removeprefix(" = ").strip()
        )
        rows.append(f"| `{name}` | {_cell(default)} | {_cell(field.description or '')}{' ' + links if links else ''} |")
    return "\n".join(rows) if len(rows) > 2 else "Nothing to set."


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return " (required)"
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):  # as a preset writes it
        plain = [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in value]
        return f" = {yaml.safe_dump(plain, default_flow_style=True, width=1000).strip()}"
    return f" = {value}"
