"""What every flow passes before it does anything."""

import pytest

from models.errors import ConfigError
from models.settings.presets import load_config
from tasks.running.pipeline_run import open_run
from tests.test_presets import SMOKE


def test_a_flow_reads_and_writes_nothing_outside_the_allowed_roots(tmp_path, monkeypatch):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    monkeypatch.setenv("REIN_ALLOWED_ROOTS", str(allowed))
    places = [f"tracking.uri=sqlite:///{allowed}/m.db", f"feedback.url=sqlite:///{allowed}/f.db"]
    config = load_config(SMOKE, [*places, f"storage.root={other}"])
    with pytest.raises(ConfigError, match=rf"outside: storage\.root: {other}"), open_run(config, "rlhf"):
        pass
    assert list(tmp_path.iterdir()) == []
