#!/usr/bin/env python3
"""Faults of the machine: a full tmpfs, pids that come round, other namespaces of time.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       FAULTS_TEST=…/faults_test FAULTS_CLOCK=…/libfaults_clock.so machine_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "daemon"))

import scene  # noqa: E402
from scene import DaemonTest, Refused, is_alive, wait_until  # noqa: E402

SYSTEM_ERR = 4
UNUSABLE = 5


class FullTmpfs(DaemonTest):
    def setUp(self):
        super().setUp()
        self.small = self.directory / "small"
        self.small.mkdir(mode=0o755)
        self.mount("size=64k,mode=0755")
        self.site.registry = self.small / "full.reg"
        self.site.configure(exempt="", key_file=self.small / "full.key")

    def mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.small], check=True)

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.small], check=True)

    def fill(self):
        with open(self.small / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def test_no_room_for_the_registry(self):
        with self.assertRaises(Refused) as caught:
            self.log_in()
        code, texts = caught.exception.args
        self.assertEqual((code, len(texts)), (SYSTEM_ERR, 1))
        self.assertIn("cannot be checked", texts[0])
        self.log_in("root")
        self.assertEqual([path.name for path in self.small.glob("*.reg*")], [])  # nothing half made
        self.resize("8m")
        self.log_in()
        self.assertEqual(self.tool("status").returncode, 0)

    def test_no_room_left_behind_the_registry_and_the_key(self):
        self.resize("8m")
        self.log_in().close()
        self.fill()
        sessions = [self.log_in() for _ in range(20)]
        for session in sessions:
            self.assertTrue(session.token)
        self.start_daemon()
        self.assert_seats(20)
        for session in sessions[:10]:
            self.assertEqual(session.close(), 0)
        for session in sessions[10:]:
            os.kill(session.pid, signal.SIGKILL)
        self.assert_seats(0)
        for command in (["limit", "5"], ["purge"], ["list"], ["check"], ["metrics"]):
            self.assertIn(self.tool(*command).returncode, (0, 1), command)

    def test_no_room_for_the_key(self):
        self.resize("8m")
        self.site.configure(exempt="", token="no", key_file=self.small / "full.key")
        self.log_in().close()
        self.fill()
        self.site.configure(exempt="", key_file=self.small / "full.key")
        self.assertFalse(self.log_in().token)
        (self.small / "filler").unlink()
        self.assertTrue(self.log_in().token)

    def test_no_room_to_rebuild(self):
        (self.small / "full.reg").write_text("no registry\n" * 100)
        (self.small / "full.reg").chmod(0o600)
        rebuilt = self.tool("purge", "--rebuild")
        self.assertEqual(rebuilt.returncode, UNUSABLE, rebuilt)
        [line] = rebuilt.stderr.splitlines()
        self.assertIn("No space left", line)


class PidsComeRound(DaemonTest):
    def take_pid(self, pid):
        """A process of that pid."""
        for _ in range(1000):
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(pid - 1))
            impostor = subprocess.Popen(["sleep", "300"], start_new_session=True)
            self.addCleanup(impostor.wait)
            self.addCleanup(impostor.kill)
            if impostor.pid == pid:
                return impostor
            impostor.kill()
        self.skipTest("somebody else always takes the pid")

    @staticmethod
    def start_ticks(pid):
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[19])

    def replace(self, session):
        """Its leader dies without closing, and another process gets the pid."""
        began = self.start_ticks(session.pid)
        # Start times are told in hundredths of a second.
        wait_until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * 100 > began + 2)
        os.kill(session.pid, signal.SIGKILL)
        self.assert_soon(lambda: not os.path.exists(f"/proc/{session.pid}"))
        impostor = self.take_pid(session.pid)
        self.assertNotEqual(self.start_ticks(session.pid), began)
        return impostor

    def log_in_within_a_second(self, user):
        """A refusal may believe the search that an earlier one made, for a second at the most."""
        admitted = []

        def is_admitted():
            try:
                admitted.append(self.log_in(user))
            except Refused:
                pass
            return admitted

        self.assert_soon(is_admitted)
        return admitted[0]

    def test_the_seat_is_found_free_by_the_next_login(self):
        self.site.configure(sessions_limit=1)
        session = self.log_in()
        with self.assertRaises(Refused):
            self.log_in("bob")
        impostor = self.replace(session)
        newer = self.log_in_within_a_second("bob")
        listed = json.loads(self.tool("list", "--json").stdout)
        self.assertEqual([s["id"] for s in listed["sessions"]], [newer.id])
        self.assertIsNone(impostor.poll())

    def test_nobody_ends_the_process_that_has_the_pid_now(self):
        self.site.configure(sessions_limit=1)
        session = self.log_in()
        impostor = self.replace(session)
        revoked = self.tool("revoke", session.id, "--yes", "--grace", "0s")
        self.assertNotIn(revoked.returncode, (-signal.SIGSEGV, -signal.SIGABRT), revoked)
        self.assertIsNone(impostor.poll())
        self.log_in("bob")

    def test_a_daemon_that_comes_later_frees_it_too(self):
        self.site.configure(sessions_limit=1, session_lifetime="1s")
        session = self.log_in()
        impostor = self.replace(session)
        self.start_daemon()
        self.assert_seats(0)
        self.assertTrue(is_alive(impostor.pid))


class Times(DaemonTest):
    def in_other_time(self, *command):
        unshare = ["unshare", "--time", "--boottime", "864000", "--monotonic", "864000"]
        if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
            self.skipTest("no time namespaces here")
        return subprocess.run([*unshare, *map(str, command)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)

    def test_a_registry_of_another_time_namespace_is_refused(self):
        self.site.configure()
        session = self.log_in()
        said = self.in_other_time(os.environ["SESSREG_TOOL"], "--conf", self.site.conf, "list")
        self.assertEqual(said.returncode, UNUSABLE, said)
        [line] = said.stderr.splitlines()
        self.assertIn("another container (PID or time namespace)", line)
        self.assertEqual(self.tool("list").returncode, 0)
        self.assertTrue(is_alive(session.pid))

    def test_logins_work_in_a_time_namespace_ten_days_on(self):
        said = self.in_other_time(os.environ["FAULTS_TEST"], "*a child*,*fork*,the real time*")
        self.assertEqual(said.returncode, 0, said.stdout)
        self.assertIn("All tests passed", said.stdout)

    def test_lists_are_sane_whatever_the_clock_was_set_to(self):
        self.site.configure(session_ttl="1h", idle_after="30m", session_lifetime="2h")
        session = self.log_in()
        for years in (-40, -1, 1, 40):
            environment = os.environ | {
                "LD_PRELOAD": os.environ["FAULTS_CLOCK"],
                "FAULTS_CLOCK_S": str(years * 365 * 86400),
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
            for command in (["list"], ["list", "--csv"], ["show", session.id], ["status"],
                            ["metrics"], ["list", "--dangling"], ["list", "--by-user"]):
                said = self.tool(*command, env=environment)
                self.assertEqual((said.returncode, said.stderr), (0, ""), (years, command, said))
            said = self.tool("list", "--json", env=environment)
            [listed] = json.loads(said.stdout)["sessions"]
            self.assertEqual((listed["id"], listed["state"]), (session.id, "active"), years)
            self.assertIn(listed["idle_seconds"], range(0, 60), years)
            self.assertEqual(self.tool("purge", env=environment).returncode, 0)
            self.assertEqual(self.tool("touch", "-", env=environment, text_in=session.token)
                             .returncode, 0, years)
        self.assertEqual(session.close(), 0)

    def tool(self, *arguments, text_in=None, **options):
        if text_in is None:
            return super().tool(*arguments, **options)
        return subprocess.run([os.environ["SESSREG_TOOL"], "--conf", self.site.conf,
                               "--site", self.site.name, *arguments], input=text_in,
                              capture_output=True, text=True, timeout=scene.HANG_S, **options)


if __name__ == "__main__":
    scene.private_host.enter()
    # Whoever takes a pid does so beside nobody who starts processes.
    scene.main(workers=1)
