"""The OpenAPI document held against the running server: schemathesis sends what it allows, and what it does not."""

import re
import subprocess
import sys
from pathlib import Path

from tests.service.running import CANARY, serving

CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_schemathesis_finds_nothing(tmp_path):
    with serving(tmp_path, "healthy") as service:
        argv = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)),
            *("run", f"https://127.0.0.1:{service.port}/openapi.json", "--tls-verify", "false"),
            *("--header", f"Authorization: Bearer {CANARY}"),
        ]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted, done.stdout
    assert int(counted[1]) == int(counted[2]) >= 300
