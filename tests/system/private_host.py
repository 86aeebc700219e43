"""A private view of this host: what a test does to /etc, /run, /var/log and its processes stays
inside.

enter() runs the calling script again in mount and PID namespaces of its own, with a copy of /etc
that holds test users, and empty /run and /var/log. When the script ends, however it ends, the
kernel ends every process it started. Exits with 77 (skipped) where namespaces cannot be had.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

SKIPPED = 77
OUTER = "SESSREG_TEST_OUTER_NAMESPACE"

PASSWORD = "correct horse"
# crypt(3) of PASSWORD
_HASH = ("$6$sessregsalt$JvGLzU2YAM.ozJWroe5rF80AY8R464FN4.5OKbnHgDiFmKGdO1nB7GbixAEgGrE/"
         "jWT/QUTe7sRX6fnTg4ZSM/")
USERS = {"alice": 52001, "bob": 52002}
HOMES = pathlib.Path("/run/home")


def skip(reason):
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIPPED)


def enter():
    outer = os.environ.pop(OUTER, "")
    inner = os.readlink("/proc/self/ns/mnt")
    if outer and outer != inner:
        # Shells shall end with their terminals, also where nohup runs the tests.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _furnish()
        return
    if os.geteuid() != 0:
        skip("needs root: sshd, PAM stacks and namespaces are root's")
    unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
               "--kill-child", "--mount-proc"]
    probe = subprocess.run(unshare + ["mount", "-t", "tmpfs", "tmpfs", "/run"],
                           capture_output=True, text=True)
    if probe.returncode != 0:
        skip("no private namespaces here: " + probe.stderr.strip())
    # The shell is the namespace's init: it collects orphans.
    init = ["sh", "-c", '"$@"; exit $?', "sh"]
    os.execvpe("unshare", unshare + init + [sys.executable, *sys.argv],
               os.environ | {OUTER: inner})


def _furnish():
    def run(*command):
        subprocess.run(command, check=True)

    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/var/log")
    run("cp", "-a", "/etc", "/run/etc")
    run("mount", "--bind", "/run/etc", "/etc")
    os.makedirs("/run/sshd", mode=0o755)
    HOMES.mkdir()

    etc = pathlib.Path("/etc")
    for name, text in {
            "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
            "hosts": f"127.0.0.1 localhost {os.uname().nodename}\n",
            "resolv.conf": "",
    }.items():
        (etc / name).unlink(missing_ok=True)
        (etc / name).write_text(text)
    (etc / "nologin").unlink(missing_ok=True)
    for user, uid in USERS.items():
        home = HOMES / user
        home.mkdir(mode=0o755)
        os.chown(home, uid, uid)
        _append(etc / "passwd", f"{user}:x:{uid}:{uid}::{home}:/bin/sh")
        _append(etc / "group", f"{user}:x:{uid}:")
        _append(etc / "shadow", f"{user}:{_HASH}:19000::::::")


def leave_network():
    """From now on what this thread starts has a network of its own, with nothing but loopback."""
    # CLONE_NEWNET, SIOCSIFFLAGS with IFF_UP, SIOCSIFADDR
    new_network, set_flags, is_up, add_address = 0x40000000, 0x8914, 1, 0x8916
    if ctypes.CDLL(None).unshare(new_network) != 0:
        skip("no private network here")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh", b"lo", is_up).ljust(40, b"\0"))
    # Without an address beside ::1, resolvers hold that there is no IPv6 (AI_ADDRCONFIG).
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any6:
        address = socket.inet_pton(socket.AF_INET6, "fd00::1")
        fcntl.ioctl(any6, add_address,
                    address + struct.pack("Ii", 128, socket.if_nametoindex("lo")))


def _append(path, line):
    with open(path, "a") as file:
        file.write(line + "\n")
