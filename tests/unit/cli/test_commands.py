"""agent.cli.commands: every command is found under its name, and one that is mistyped is answered with those that exist."""

import pytest
from typer.main import get_command

from agent.cli.app import app
from agent.cli.commands import PLACES


@pytest.mark.parametrize("name", PLACES)
def test_a_command_has_the_name_it_is_asked_by(name, run):
    assert get_command(app).get_command(None, name).name == name
    assert run(name, "--help").exit_code == 0


def test_a_mistyped_command_is_told_what_it_may_have_been(run):
    ended = run("explian")
    assert ended.exit_code == 2
    assert "Did you mean 'explain'" in ended.output
