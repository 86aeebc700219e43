#!/usr/bin/env python3
"""Containers that are given one registry, as in a volume or a /run that outlives a restart: one
that has ended leaves it to the next; of two that live the second is refused.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg container_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import pathlib
import shutil
import socket
import stat
import subprocess

import service_scene
from site_scene import SiteTest, wait_until

# A container's /dev, with the socket of its log.
DEV = pathlib.Path("/run/dev")
# su, in the namespaces of a container
SU = ["sh", "-c", f'mount --bind {DEV} /dev && exec "$@"', "sh", service_scene.find_program("su")]
NOBODY_IN = "Logins cannot be checked at the moment. Please tell the administrator.\n"


class Container:
    """A PID namespace of its own, with a su to that user that lasts."""

    def __init__(self, user):
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *SU, user, "-c", "echo IN; exec sleep 100"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = self.process.stdout.readline()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class OneRegistry(SiteTest):

    service = "su"

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=1, ignore_services="")
        self.write_stack("su", first="auth sufficient pam_rootok.so")
        DEV.mkdir()
        self.addCleanup(shutil.rmtree, DEV)
        os.mknod(DEV / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.bind(str(DEV / "log"))
        self.log.setblocking(False)
        self.lines = ""
        self.addCleanup(self.log.close)

    def start(self, user):
        container = Container(user)
        self.clients.append(container)
        return container

    def logged(self):
        try:
            while True:
                self.lines += self.log.recv(65536).decode(errors="replace") + "\n"
        except BlockingIOError:
            return self.lines

    def test_a_container_that_has_ended_leaves_its_registry_to_the_next(self):
        for _ in range(3):  # as a container that is restarted over the same volume
            first = self.start("alice")
            self.assertEqual(first.said, "IN\n")
            self.end_clients()
        self.assertTrue(wait_until(
            lambda: self.logged().count("registry of a container that has ended replaced") == 2),
            self.logged())
        self.assertIn(f"registry={self.registry}", self.logged())
        # None is left beside it: a volume outlives many restarts.
        self.assertEqual(os.listdir(self.registry.parent), [self.registry.name])

    def test_the_registry_of_a_container_that_lives_is_left_to_it(self):
        first = self.start("alice")
        self.assertEqual(first.said, "IN\n")
        second = self.start("bob")
        self.assertEqual(second.said, NOBODY_IN)
        self.assertIn("belongs to another container", self.logged())
        self.assertIsNone(first.process.poll())
        self.assertNotIn("replaced", self.logged())
        # Its own seat is still taken: nobody else gets in beside alice.
        inside = subprocess.run(
            ["nsenter", f"--target={self.init_of(first)}", "--pid", "--mount",
             service_scene.find_program("su"), "bob", "-c", "true"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        self.assertIn("There are more than 1 active user sessions", inside.stderr)
        self.assertNotEqual(inside.returncode, 0)

    def test_before_the_first_login_there_is_nobody_to_list(self):
        self.assertEqual(self.start("alice").said, "IN\n")
        said = subprocess.run([self.program, "--site", "test", "--conf", self.conf, "list"],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(said.returncode, 5, said)
        self.assertIn("another container", said.stderr)
        self.end_clients()
        self.assertEqual(self.sessions(), [])

    def init_of(self, container):
        children = pathlib.Path(f"/proc/{container.process.pid}/task/{container.process.pid}/children")
        return children.read_text().split()[0]


if __name__ == "__main__":
    service_scene.main("__main__", lambda: service_scene.find_program("su"))
