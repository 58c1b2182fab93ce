"""Two machines that share a mirror: neither makes what the other has made."""

import shutil
from pathlib import Path

from tests.flows.conftest import SMOKE, Workplace
from tests.flows.test_rlhf import STAGES


def test_another_machine_makes_only_what_the_mirror_lacks(workplace, first_report, tmp_path):
    mirror = tmp_path / "mirror"
    for folder in map(Path, first_report["artifacts"].values()):
        shutil.copytree(folder, mirror / folder.name)
    pairs = mirror / Path(first_report["artifacts"]["pairs"]).name
    (pairs / "pairs.jsonl").write_text("half")
    other = Workplace(tmp_path / "other", workplace.prefect_url)
    other.root.mkdir(parents=True)
    shutil.copy(workplace.root / "mlflow.db", other.root)  # they share MLflow as well
    report = other.report("rlhf", SMOKE, f"storage.mirror=file://{mirror}")
    assert report["stages_run"] == ["pairs"]
    assert report["stages_cached"] == [name for name in STAGES if name != "pairs"]
    assert report["reward_accuracy"] == first_report["reward_accuracy"]
    assert all(folder.startswith(str(other.root)) for folder in report["artifacts"].values())
    made = (other.root / "artifacts" / pairs.name / "pairs.jsonl").read_bytes()
    assert (pairs / "pairs.jsonl").read_bytes() == made
