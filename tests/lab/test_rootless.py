"""Where the lab cannot be had, it says why in one sentence, and its exit code is 5."""

import os
import socket
import subprocess

import pytest

from tests.lab.staged import KUBEREACH, PRIVILEGES, run

# A user namespace may lower its own limits, and nobody outside notices; then every capability goes.
NO_NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"',
    "sh",
)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for word in ("kubereach: ", *words):
        assert word in done.stderr


@pytest.mark.parametrize("verb", ["run", "serve"])
def test_a_system_without_namespaces_is_told_in_one_sentence(verb):
    argv = [*NO_NAMESPACES, *KUBEREACH, "lab", verb, "healthy"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert_one_sentence(done, "max_user_namespaces is 0", "sudo")


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_a_port_that_is_taken_is_told_in_one_sentence(privilege):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(privilege, "lab", "serve", "healthy", "--port", str(port))
    assert_one_sentence(done, str(port), "choose another")


def test_an_unknown_incident_is_a_wrong_word_and_lists_the_right_ones():
    done = run(PRIVILEGES[0], "lab", "run", "no-such-incident")
    assert done.returncode == 2
    assert "centos-reject" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_rootless_lab_runs_as_an_ordinary_user_outside_and_as_root_inside():
    done = run("rootless", "lab", "run", "healthy", "--", "sh", "-c", "id -u; cat /proc/self/uid_map")
    assert done.returncode == 0
    inside, mapped, outside, count = done.stdout.split()
    assert (inside, mapped, count) == ("0", "0", "1")
    assert outside == ("1000" if os.geteuid() == 0 else str(os.geteuid()))
