"""What counts of the machine that a stage runs on: the packages that compute, the device and the precision."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from models.settings.compute import Compute
from tasks.running.code_digest import imported_packages

COMPUTING = ("choix", "datasets", "numpy", "pandas", "peft", "scipy", "tokenizers", "torch", "transformers")
"""Packages whose next version may give other numbers or texts."""


def environment_of(modules: tuple[str, ...], inputs: dict[str, Any]) -> dict[str, str]:
    """Package -> version, of those that the code of these modules imports and that are installed; where networks run, also `device`
    and `precision`, as `auto` is resolved here."""
    found = {}
    for package in sorted(imported_packages(*modules).intersection(COMPUTING)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra that is not used
            continue
    for compute in (one for one in inputs.values() if isinstance(one, Compute)):
        from models.network.precision import pick_device, pick_precision

        found |= {"device": pick_device(compute).type, "precision": pick_precision(compute)}
    return found
