"""Shell completion: what the three shells source, and what they are answered. And the manual page, as groff sees it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "kubereach.1"
KUBEREACH = (sys.executable, "-P", "-c", "import sys; sys.argv[0] = 'kubereach'; from agent.cli.app import main; main()")


def asked(**environment: str) -> str:
    done = subprocess.run(KUBEREACH, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "words"),
    [("bash", "complete -o default -F"), ("zsh", "#compdef kubereach"), ("fish", "complete --command kubereach")],
)
def test_each_shell_has_something_to_source(shell: str, words: str) -> None:
    assert words in asked(_KUBEREACH_COMPLETE=f"source_{shell}")


@pytest.mark.parametrize(
    ("line", "offered"),
    [("kubereach fix ", {"plan", "apply", "confirm", "revert", "list", "audit"}), ("kubereach pre", {"preflight"})],
)
def test_commands_are_completed(line: str, offered: set[str]) -> None:
    words = line.split(" ")
    assert set(asked(_KUBEREACH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).split()) == offered


def test_options_are_completed_with_their_help() -> None:
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "kubereach explain --ds"}
    assert asked(_KUBEREACH_COMPLETE="complete_fish", **fish).startswith("--dst\t")
    zsh = asked(_KUBEREACH_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="kubereach fix co")
    assert '"confirm":"Have a fix on trial last."' in zsh


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_finds_nothing_wrong() -> None:
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-z", str(PAGE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
