"""The code of the kept run, measured here and now by today's bench: what its ratios are on this machine, beside this load.

A ratio to a reference says more than milliseconds, but a processor with other caches moves it, too. What has grown for the kept
code as well is the machine's doing, not the change's.
"""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.model.codec import from_plain
from tests.bench.page import Run, lost
from tests.bench.results import NotMeasured

_ROOT = Path(__file__).parents[2]
_LONGEST = 900.0  # of the rows that the short form has, ten times over


def measure(commit: str, rows: Sequence[str]) -> Run:
    """Those rows of the agent as it was at that commit, with the short form's repeats. Raises `NotMeasured`."""
    with _as_it_was(commit) as python, TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        argv = [str(python), "-m", "tests.bench", "--short", "--anyway", "--into", str(file), *rows]
        try:
            subprocess.run(argv, cwd=python.parents[2], check=False, timeout=_LONGEST, stdout=subprocess.DEVNULL)
            run = from_plain(Run, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise NotMeasured(f"the code of {commit} could not be measured: {error}") from error
    if missing := lost(run):
        raise NotMeasured(f"of the code of {commit} a part could not be measured: {'; '.join(missing)}")
    return run


@contextmanager
def _as_it_was(commit: str) -> Iterator[Path]:
    """An interpreter that finds the agent of that commit, the tests of today and the libraries of this environment."""
    done = subprocess.run(("git", "archive", commit, "agent"), cwd=_ROOT, capture_output=True, check=False)
    if done.returncode:
        raise NotMeasured(f"there is no {commit} here: {done.stderr.decode(errors='replace').strip()}")
    with TemporaryDirectory() as folder:
        tree = Path(folder)
        tree.chmod(0o755)  # the front has a user of its own
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(tree, filter="data")
        shutil.copytree(_ROOT / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        venv.create(tree / "venv", symlinks=True)
        # Lines of a .pth are added as they are: the libraries' own .pth, which leads to today's agent, is not followed.
        (library,) = (tree / "venv").glob("lib/python*/site-packages")
        here = next(path for path in sys.path if path.endswith("site-packages"))
        (library / "then.pth").write_text(f"{tree}\n{here}\n", encoding="utf-8")
        yield tree / "venv" / "bin" / "python"
