"""`rein standings` and `rein compare`: policies, and runs, beside each other."""

import re
from pathlib import Path

from cli.starting.defaults import set_defaults
from cli.store_option import DEFAULT_STORE, Store
from models.errors import ConfigError
from models.plain_text import printable
from models.settings.pipeline import StorageConfig, TrackingConfig


def standings(
    *, store: Store = DEFAULT_STORE, root: str = StorageConfig().root, tracking_uri: str = TrackingConfig().uri
) -> None:
    """Elo ratings, judge by judge, of all evaluated policies and their bases, from the held-out prompts at which they met, beside people
    where they met a reference; and, by criterion, of the systems that wrote what people ranked, where the feedback says it.

    Parameters
    ----------
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    place = Path(root).resolve()
    set_defaults(place)
    from tasks.champion.standings import standings as rate
    from tasks.champion.standings import standings_of_systems
    from tasks.tracking.registry import registered_versions

    by_judge, by_criterion = rate(place), standings_of_systems(place, store)
    names = {rating.name for ratings in by_judge.values() for rating in ratings}
    versions = registered_versions(TrackingConfig(uri=tracking_uri), names) if names else {}
    for judge, ratings in by_judge.items():
        print(f"judge: {judge}")
        for one in ratings:
            is_model = re.fullmatch("[0-9a-f]{64}", one.name)  # else people or the best of n, by what they are
            known = ", ".join(versions.get(one.name, ["not registered"]))
            who = f"{one.name[:12]}  {known}" if is_model else one.name
            interval = f"{one.low:.0f} to {one.high:.0f}"
            print(f"  {one.rating:6.0f}  ({interval}, {one.num_matches} prompts)  {who}")
    for criterion, ratings in by_criterion.items():
        print(f"people, by {printable(criterion)}")
        for one in ratings:
            interval = f"{one.low:.0f} to {one.high:.0f}"
            print(f"  {one.rating:6.0f}  ({interval}, {one.num_matches} matches)  {printable(one.name)}")
    if not (by_judge or by_criterion):
        print(f"{root}: no policy has been evaluated yet, and no feedback says which systems wrote what was ranked")


def compare(*runs: str, root: str = StorageConfig().root, to: Path = Path("compare.html")) -> None:
    """Lays runs side by side on one HTML page: what was set otherwise, figures, curves, what each wrote to the same prompts.

    Parameters
    ----------
    runs
        Two or more: the names of flow runs or what stands in parentheses in them, the first signs of their ids, or the folders of their reports.
    root
        The folder of the artifacts (`storage.root`).
    to
        The page to write.
    """
    from tasks.reporting.page.compare import find_report, write_comparison

    if len(runs) < 2:
        raise ConfigError("compare: name two runs or more, such as `rein compare calm-owl brave-hare`")
    write_comparison([find_report(one, Path(root)) for one in runs], to)
    print(f"compared: {to}")
