"""Why there are no namespaces here, and what to do: each restriction has a remedy of its own."""

import pytest

from agent.lab.sandbox import remedy


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("kernel/unprivileged_userns_clone", "0", "kept to root"),
        ("user/max_user_namespaces", "0", "max_user_namespaces is 0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0", "--privileged"),
        ("user/max_user_namespaces", "1000", "--privileged"),
    ],
)
def test_each_restriction_has_its_remedy(tmp_path, name, value, words):
    setting = tmp_path / name
    setting.parent.mkdir(parents=True)
    setting.write_text(f"{value}\n")
    assert words in remedy(rootless=True, settings=tmp_path)


def test_restrictions_of_ordinary_users_are_no_reason_for_root(tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    assert "--privileged" in remedy(rootless=False, settings=tmp_path)
