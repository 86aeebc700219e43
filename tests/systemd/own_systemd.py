"""A systemd of the test's own, as the init of namespaces that hold nothing of the host's services.

Call private_host.enter() first: this builds on its private /etc and /run. The units that systemd
knows are those given to it and a handful of its own (journal, tmpfiles). Whatever it and they
write goes to memory; the host's files are read-only to them.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import private_host

SYSTEMD = pathlib.Path("/lib/systemd/systemd")
# The service's name for the tests themselves; systemd exits with their status.
TESTS = "sessreg-tests.service"
# What units and tests need of the build is copied there: the tree may be in what they cannot see.
BUILT = pathlib.Path("/run/built")
UNITS = pathlib.Path("/run/units")
# A unit with this is shown the kernel's boot id rather than the container's. systemd 252 shows it to each
# that has a /proc/sys of its own, systemd 257 to none.
KERNELS_BOOT_ID = "BindReadOnlyPaths=/run/kernels_boot_id:/proc/sys/kernel/random/boot_id\n"
_OUTPUT = pathlib.Path("/run/tests.out")
_CONSOLE = pathlib.Path("/run/console.out")

_BORROWED = ("systemd-journald.service", "systemd-journald.socket",
             "systemd-journald-dev-log.socket", "systemd-tmpfiles-setup.service", "basic.target",
             "sysinit.target", "sockets.target", "shutdown.target", "exit.target",
             "systemd-exit.service", "dbus.service", "dbus.socket", "systemd-logind.service",
             "user.slice")
# What the namespaces' first process does before it becomes systemd.
_FURNISH = """
set -e
for private in /tmp /var/tmp /var/lib; do
  mount -t tmpfs -o mode=1777 tmpfs "$private"
done
mkdir /run/dev
mount -t tmpfs -o mode=0755 tmpfs /run/dev
for device in null zero full random urandom tty; do
  touch "/run/dev/$device"
  mount --bind "/dev/$device" "/run/dev/$device"
done
mkdir /run/dev/pts /run/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /run/dev/pts
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
mount --move /run/dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd-nspawn does.
cat /proc/sys/kernel/random/boot_id >/run/kernels_boot_id
cat /proc/sys/kernel/random/uuid >/run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
mount -o remount,bind,ro /
exec env -i container=sessreg-test PATH="$PATH" SYSTEMD_UNIT_PATH="$1" \
  "$2" --system --unit="$3" --log-target=journal --show-status=no
"""


def run_tests(script, units, environment):
    """Starts systemd with these unit files (name: text), runs the script as one of them, prints
    what it printed and returns its exit status."""
    if not SYSTEMD.exists():
        private_host.skip(f"there is no {SYSTEMD}")
    UNITS.mkdir()
    for name in _BORROWED:
        shutil.copy(SYSTEMD.parent / "system" / name, UNITS / name)
    settings = "".join(f'Environment="{name}={value}"\n' for name, value in environment.items())
    units = units | {
        "sysinit.target.d/wants.conf": "[Unit]\nWants=systemd-journald.service "
                                       "systemd-journald-dev-log.socket "
                                       "systemd-tmpfiles-setup.service\n",
        TESTS: "[Unit]\nSuccessAction=exit-force\nFailureAction=exit-force\n"
               f"[Service]\nType=exec\n{settings}"
               f"ExecStart={sys.executable} {script}\n"
               f"StandardOutput=file:{_OUTPUT}\nStandardError=file:{_OUTPUT}\n",
    }
    for name, text in units.items():
        (UNITS / name).parent.mkdir(exist_ok=True)
        (UNITS / name).write_text(text)

    cgroup = _make_cgroup()
    try:
        with open(_CONSOLE, "w") as console:
            status = subprocess.run(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--ipc",
                 "--uts", "--net", "sh", "-c", _FURNISH, "sh", UNITS, SYSTEMD, TESTS],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=200,
                preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0")).returncode
    except subprocess.TimeoutExpired:
        status = "time ran out"
    finally:
        _remove_cgroup(cgroup)
    output = _OUTPUT.read_text() if _OUTPUT.exists() else ""
    if not output:
        print(_CONSOLE.read_text())
    print(output)
    if not output and status != "time ran out":
        private_host.skip(f"systemd does not start in namespaces here (status {status})")
    return 1 if status == "time ran out" else status


def _make_cgroup():
    """A cgroup for systemd to be the root of; below ours, so that it may take nothing away."""
    mounts = re.search(r"^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 ",
                       pathlib.Path("/proc/self/mountinfo").read_text(), re.MULTILINE)
    own = re.search(r"^0::(.*)$", pathlib.Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    if not mounts or not own:
        private_host.skip("no cgroup2 file system is mounted")
    try:
        return pathlib.Path(tempfile.mkdtemp(prefix="sessreg-test-",
                                             dir=mounts[1] + own[1].rstrip("/")))
    except OSError as error:
        private_host.skip(f"cannot make a cgroup: {error}")


def _remove_cgroup(cgroup):
    for directory, _, _ in os.walk(cgroup, topdown=False):
        os.rmdir(directory)
