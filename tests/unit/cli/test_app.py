"""The command as a whole: help, version, usage errors, failures."""

import errno
import sys

import pytest

from agent import __version__
from agent.cli import app as entry
from agent.cli import live
from agent.host.errors import BrokerGone, HostError

COMMANDS = ("diagnose", "serve", "explain", "rules", "probe", "preflight", "bundle", "replay", "lab")


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "lab run", "lab list", "lab serve"])
def test_every_command_has_help(run, command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"kubereach {__version__}\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["diagnose", "--nosuch"], "No such option"),
        (["diagnoze"], "No such command"),
        (["diagnose", "-o", "xml"], "xml"),
        (["diagnose", "--node-ip", "worker1"], "'worker1' is not an IP address"),
        (["diagnose", "--pod-cidr", "10.244.4.1/24"], "is not a network"),
        (["diagnose", "--kubelet-port", "0"], "greater than or equal to 1"),
        (["diagnose", "--brief", "-o", "json"], "leave one of the two out"),
        (["explain"], "--src"),
        (["explain", "--src", "10.0.0.1", "--dst", "here"], "dst 'here' is no IP address"),
        (["serve", "--host", "0.0.0.0"], "nobody who connects to 0.0.0.0 could be authenticated"),
        (["serve", "--host", "node1"], "no IP address"),
        (["lab", "run", "healthy", "-o", "json", "--", "ls"], "belong to the diagnosis"),
        (["lab", "serve", "healthy", "--host", "192.0.2.1"], "not a loopback address"),
        (["lab", "run", "healthy", "--backend", "bpf"], "bpf"),
    ],
)
def test_usage_errors_are_sentences_with_exit_code_2(run, host, args, said):
    result = run(*args)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("\n", " ").split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("diagnose", HostError("the broker could not be started"), "the broker could not be started (`kubereach preflight`"),
        ("probe", BrokerGone("it did not answer node"), "ended: it did not answer node. Run as root"),
        ("preflight", HostError("refused"), "refused (`kubereach preflight`"),
        ("rules", PermissionError(errno.EACCES, "Permission denied", "/proc/1/ns/net"), "/proc/1/ns/net: Permission denied"),
    ],
)
def test_a_node_that_cannot_be_seen_is_a_sentence_and_exit_code_5(run, monkeypatch, command, error, said):
    def refuse(_):
        raise error

    monkeypatch.setattr(live, "attach", refuse)
    result = run(command)
    assert result.exit_code == 5
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert run("--debug", command).exception is error


def test_settings_come_from_flags_and_environment(run, host, monkeypatch):
    seen = []
    monkeypatch.setattr(live, "attach", lambda settings: seen.append(settings) or host)
    env = {"KUBEREACH_NODE_IP": "172.31.16.124 fd00::1", "KUBEREACH_KUBELET_PORT": "10255", "KUBEREACH_NODE_NAME": "env"}
    run("diagnose", "--node-name", "flag", "--pod-cidr", "10.244.4.0/24", "--cni-dir", "/a", "--cni-dir", "/b", env=env)
    settings = seen[0]
    assert settings.node_name == "flag"
    assert settings.node_ips == ("172.31.16.124", "fd00::1")
    assert settings.kubelet_port == 10255
    assert settings.cni_dirs == ("/a", "/b")
    assert settings.netns_dirs == ("/run/netns", "/run/docker/netns")


def test_a_bug_is_a_sentence_that_says_how_to_see_its_trace(monkeypatch, capsys):
    def stumble(_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(live, "attach", stumble)
    monkeypatch.setattr(sys, "argv", ["kubereach", "preflight"])
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 5
    said = capsys.readouterr().err
    assert "a bug in kubereach: ZeroDivisionError: by zero" in said
    assert "kubereach --debug preflight" in said
    assert "Traceback" not in said


def test_debug_shows_the_trace(monkeypatch):
    def stumble(_):
        raise ZeroDivisionError

    monkeypatch.setattr(live, "attach", stumble)
    monkeypatch.setattr(sys, "argv", ["kubereach", "--debug", "preflight"])
    with pytest.raises(ZeroDivisionError):
        entry.main()
