"""The state directory: no room, no leave, no truth."""

import random
import subprocess
from pathlib import Path

from agent.host.fixing import lease
from agent.lab.topology import STATE_DIR
from tests.lab.fixing import rig
from tests.lab.fixing.cases.setting import by, count, refused, rules_alone


def case_a_full_disk_refuses_before_the_kernel_is_touched(backend: str) -> None:
    STATE_DIR.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "full", str(STATE_DIR)], check=True)
    try:
        Path(STATE_DIR, "filler").write_bytes(b"x" * 60 * 1024)
        with Path(STATE_DIR, "more").open("wb", buffering=0) as more:
            try:
                while True:
                    more.write(b"x" * 512)
            except OSError:
                pass
        fixer, before = rig.fixer(twin=rig.said), rig.saved(backend)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
        assert rules_alone(rig.saved(backend)) == rules_alone(before)
        assert lease.our_sets() == ()
    finally:
        subprocess.run(["umount", "-l", str(STATE_DIR)], check=True)


def case_a_read_only_state_directory_refuses(backend: str) -> None:
    STATE_DIR.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "ro", str(STATE_DIR)], check=True)
    try:
        fixer = rig.fixer(twin=rig.said)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
        assert rig.ours(backend) == []
    finally:
        subprocess.run(["umount", "-l", str(STATE_DIR)], check=True)


def case_a_state_directory_behind_a_link_is_refused(backend: str) -> None:
    STATE_DIR.symlink_to("/run/lab/cni")
    try:
        fixer = rig.fixer(twin=rig.said)
        with refused("no-disk"):
            fixer.apply(rig.order(fixer, backend))
    finally:
        STATE_DIR.unlink()


def case_a_journal_that_is_damaged_ends_its_fix(backend: str) -> None:
    fixer, chance = rig.fixer(twin=rig.said), random.Random(5)
    for _ in range(count(10, 200)):
        fix = fixer.apply(rig.order(fixer, backend))
        path = Path(STATE_DIR, f"{fix.id}.fix")
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        rig.fixer(twin=rig.said).sweep()
        assert rig.ours(backend) == [], bytes(data)
        assert lease.our_sets() == ()


def case_the_audit_log_tells_of_a_changed_byte(backend: str) -> None:
    fixer = rig.fixer(twin=rig.said)
    for _ in range(4):
        fixer.revert(by(fixer.apply(rig.order(fixer, backend)).id))
    path = Path(STATE_DIR, "audit.jsonl")
    data = path.read_bytes()
    assert fixer.audit().problem == ""
    chance = random.Random(7)
    for _ in range(100):
        place = chance.randrange(len(data) - 1)
        changed = bytearray(data)
        changed[place] = (changed[place] + 1) % 128
        path.write_bytes(changed)
        record = data[:place].count(b"\n") + 1
        assert f"record {record}" in fixer.audit().problem or f"{record} " in fixer.audit().problem, (place, fixer.audit())
    path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
    assert "missing" in fixer.audit().problem
    path.write_bytes(data)
    assert fixer.audit().problem == ""
