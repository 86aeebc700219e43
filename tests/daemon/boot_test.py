#!/usr/bin/env python3
"""Processes that are shown different boot ids, as in a container of systemd-nspawn, and registries
that are of another boot; what the daemon says of those that it cannot serve.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       boot_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
import uuid

import scene
from scene import DaemonTest, LoginService, Refused, Site

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# See lib/registry/layout.h.
DAEMON_SEEN_MS = 640


def boot_id(within):
    return subprocess.check_output([*within, "cat", BOOT_ID], text=True)


class BootTest(DaemonTest):
    def setUp(self):
        super().setUp()
        made_up = self.directory / "boot_id"
        made_up.write_text(f"{uuid.uuid4()}\n")
        self.made_up = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                        f'mount --bind "{made_up}" {BOOT_ID} && exec "$@"', "sh"]
        self.views = ([], self.made_up)
        self.assertNotEqual(*map(boot_id, self.views))

    def put_registry_on_disk(self):
        directory = tempfile.mkdtemp(prefix="sessreg-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        self.site = Site(self.site.name, self.directory, registry=pathlib.Path(directory) / "site.reg")

    def service_in(self, view):
        service = LoginService(view)
        self.addCleanup(service.stop)
        return service

    def ids(self, view):
        return [session["id"] for session in
                json.loads(self.tool("list", "--json", within=view).stdout)["sessions"]]

    def put_into_another_boot(self):
        """As if a daemon had been there later than it is now."""
        later_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 + 3_600_000
        with open(self.site.registry, "r+b") as file:
            file.seek(DAEMON_SEEN_MS)
            file.write(struct.pack("=Q", later_ms))

    def others(self):
        """What was moved aside."""
        return [path for path in self.site.registry.parent.glob("*.reg.*")]


class Views(BootTest):
    def check_that_all_use_one_registry(self, maker, other):
        self.site.configure(sessions_limit=1)
        session = self.log_in("alice", service=self.service_in(maker))
        for view in (other, maker):
            with self.assertRaises(Refused):
                self.log_in("bob", service=self.service_in(view))
            self.assertEqual(self.ids(view), [session.id])
            rebuilt = self.tool("purge", "--rebuild", within=view)
            self.assertIn("it was not replaced", rebuilt.stdout, rebuilt.stderr)
        self.assertEqual(self.tool("limit", "2", within=other).returncode, 0)
        second = self.log_in("bob", service=self.service_in(other))
        for view in self.views:
            self.assertEqual(set(self.ids(view)), {session.id, second.id})
        self.start_daemon(within=other)
        self.assert_seats(2)
        session.close()
        self.assert_seats(1)
        self.assertNotIn("not served", self.daemon.log())
        self.assertEqual(self.others(), [])

    def test_on_a_tmpfs(self):
        self.check_that_all_use_one_registry(*self.views)

    def test_on_a_tmpfs_with_a_maker_who_is_shown_a_made_up_one(self):
        self.check_that_all_use_one_registry(*reversed(self.views))

    def test_on_a_disk(self):
        self.put_registry_on_disk()
        self.check_that_all_use_one_registry(*self.views)

    def test_on_a_disk_with_a_maker_who_is_shown_a_made_up_one(self):
        self.put_registry_on_disk()
        self.check_that_all_use_one_registry(*reversed(self.views))

    def test_one_of_another_boot_is_still_set_aside(self):
        self.site.configure(sessions_limit=1)
        self.log_in("alice")
        self.put_into_another_boot()
        self.assertEqual(self.ids(self.made_up), [])
        checked = self.tool("check", within=self.made_up)
        self.assertIn("is left over from before the last boot", checked.stdout + checked.stderr)
        session = self.log_in("bob", service=self.service_in(self.made_up))
        self.assertEqual(len(self.others()), 1)
        for view in self.views:
            self.assertEqual(self.ids(view), [session.id])


class NotServed(BootTest):
    """What the daemon says where it can do nothing: one line, and no more until it changes."""

    def assert_said(self, *words):
        def lines():
            return [line for line in self.daemon.log().splitlines()
                    if all(word in line for word in (*words, f"the site {self.site.name} is not served"))]
        self.assert_soon(lines, self.daemon.log())
        self.call("List", site=self.site.name)  # looks again
        self.call("List", site=self.site.name)
        self.assertEqual(len(lines()), 1, self.daemon.log())

    def assert_served(self):
        self.assert_soon(lambda: f"the site {self.site.name} is served now" in self.daemon.log(),
                         self.daemon.log())

    def test_nobody_has_logged_in(self):
        self.site.configure()
        self.start_daemon()
        self.assert_said("there is no registry", str(self.site.registry), "until somebody logs in")
        self.log_in()
        self.assert_served()
        self.assert_seats(1)

    def test_it_is_of_another_boot(self):
        self.site.configure()
        self.log_in()
        self.put_into_another_boot()
        self.start_daemon(within=self.made_up)
        self.assert_said("is left over from before the last boot", "until somebody logs in")
        self.log_in("bob", service=self.service_in(self.made_up))
        self.assert_served()
        self.assert_seats(1)

    def test_it_is_of_another_namespace(self):
        self.site.configure()
        self.log_in()
        self.start_daemon(within=["unshare", "--time", "--fork", "--kill-child"])
        self.assert_said("belongs to another container (PID or time namespace)")

    def test_it_is_damaged_or_not_roots_alone_or_gone(self):
        self.site.configure()
        session = self.log_in()
        self.start_daemon()
        self.assert_seats(1)
        self.site.registry.chmod(0o644)
        self.assert_said("not a file of mode 0600")
        self.site.registry.chmod(0o600)
        self.assert_served()
        self.assert_seats(1)
        os.truncate(self.site.registry, 1000)
        self.assert_said("is cut short")
        self.site.registry.unlink()
        self.assert_said("there is no registry")
        session.kill()

    def test_it_has_no_configuration(self):
        self.site.configure()
        missing = Site("missing", self.directory)
        self.start_daemon("--site", "missing", "--conf", str(missing.conf), wait=False)
        self.assertEqual(self.daemon.process.wait(scene.HANG_S), 5)
        [line] = self.daemon.log().splitlines()[-1:]
        self.assertIn("the site missing is not served", line)


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
