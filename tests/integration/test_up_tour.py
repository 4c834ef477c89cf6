"""The tour sees what the demo's policy means, on a real deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]


def test_every_step_goes_as_meant_and_is_on_record(tmp_path: Path) -> None:
    """Each step has the expected outcome and a record that was found in the ledger; the policy is put back."""
    state = ["--state", str(tmp_path / "var")]
    charter = [str(Path(sys.executable).with_name("charter"))]
    port = str(free_ports(1)[0])
    try:
        command = [*charter, "up", "--demo", "--tour", "--json", "--port", port, *state]
        played = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=ROOT)
        assert played.returncode == 0, played.stderr + played.stdout
        lines = json.loads(played.stdout)["tour"]
        assert [line for line in lines if not line["as_meant"]] == []
        refused = [line for line in lines if line["outcome"] == "refused"]
        assert len(refused) >= 6
        assert all(line["saw"] and line["record"].startswith("r-") for line in refused)
        assert "no-files-for-contractors" in {rule for line in lines for rule in line["rules"]}
    finally:
        subprocess.run([*charter, "down", *state], check=True, timeout=60, cwd=ROOT)
