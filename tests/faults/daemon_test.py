#!/usr/bin/env python3
"""sessregd and the tool while the registry's file is taken from under them.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       daemon_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "daemon"))

import scene  # noqa: E402
from scene import CallFailed, Client, DaemonTest, is_alive, wait_until  # noqa: E402

UNUSABLE = 5
CUT_LINE = "a registry was cut short while it was in use"


def cut(path, part):
    os.truncate(path, int(path.stat().st_size * part))


def replace_by_garbage(path):
    garbage = path.with_suffix(".garbage")
    garbage.write_bytes(b"\xa5" * 100_000)
    garbage.chmod(0o600)
    garbage.rename(path)


def replace_by_link(path):
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.symlink_to(aside)


class UnderTheDaemon(DaemonTest):
    def setUp(self):
        super().setUp()
        self.site.configure(sessions_limit=3, capacity=50)
        self.session = self.log_in()
        self.start_daemon()
        self.assert_seats(1)

    def assert_let_go(self, word):
        self.assert_soon(lambda: word in self.daemon.log(), self.daemon.log())
        self.assertEqual(self.list()["sessions"], [])
        self.assertIsNone(self.daemon.process.poll(), self.daemon.log())
        self.assertTrue(is_alive(self.session.pid))

    def damage(self, change, word):
        change(self.site.registry)
        self.assert_let_go(word)
        said = self.tool("list")
        self.assertEqual((said.returncode, len(said.stderr.splitlines())), (UNUSABLE, 1), said)
        self.assertIn(word, said.stderr)
        self.assertEqual(self.tool("purge", "--rebuild").returncode, 0)
        newer = self.log_in("bob")
        self.assert_seats(1)
        self.assertIsNotNone(self.listed(newer))

    def test_cut_to_nothing(self):
        self.damage(lambda path: cut(path, 0), "is cut short")

    def test_cut_in_half(self):
        self.damage(lambda path: cut(path, 0.5), "is cut short")

    def test_replaced_by_garbage(self):
        self.damage(replace_by_garbage, "is not a session registry")

    def test_replaced_by_a_link(self):
        self.damage(replace_by_link, "is not a regular file")

    def put_right_again(self, change, change_back):
        change(self.site.registry)
        self.assert_let_go("is not a file of mode 0600")
        change_back(self.site.registry)
        self.assert_soon(lambda: self.listed(self.session) is not None)
        self.assertEqual(self.list()["active"], 1)
        self.call("Touch", token=self.session.token)

    def test_opened_to_all_and_closed_again(self):
        self.put_right_again(lambda path: path.chmod(0o666), lambda path: path.chmod(0o600))

    def test_given_away_and_taken_back(self):
        self.put_right_again(lambda path: os.chown(path, 52001, 52001),
                             lambda path: os.chown(path, 0, 0))

    def test_cut_at_any_instant_of_its_work_it_goes_on_or_says_why_not(self):
        survived = 0
        for turn in range(12):
            stop = threading.Event()

            def ask():
                with contextlib.suppress(CallFailed, EOFError, OSError):
                    with Client.connect(self.socket_path) as client:
                        while not stop.is_set():
                            client.call("List", site=self.site.name)

            asking = [threading.Thread(target=ask) for _ in range(2)]
            for thread in asking:
                thread.start()
            cut(self.site.registry, 0)
            # Its next tick has noticed, or the reading that was under way.
            wait_until(lambda: "is cut short" in self.daemon.log() or
                       self.daemon.process.poll() is not None)
            stop.set()
            for thread in asking:
                thread.join()
            code = self.daemon.process.poll()
            if code is None:
                survived += 1
                self.daemon.kill()
            else:
                self.assertEqual(code, UNUSABLE, self.daemon.log())
                self.assertIn(CUT_LINE, self.daemon.log())
            self.daemon.log_path.unlink()
            self.assertEqual(self.tool("purge", "--rebuild").returncode, 0)
            self.log_in("bob").close()
            self.session = self.log_in()
            self.socket_path.unlink(missing_ok=True)
            self.start_daemon()
            self.assert_seats(1)
            self.session.close()
        print(f"  it went on {survived} times of 12")


class UnderTheTool(DaemonTest):
    def test_list_watch_goes_on_or_says_why_not(self):
        self.site.configure(sessions_limit=3, capacity=50)
        self.log_in()
        log = self.directory / "watch.err"
        with open(log, "w") as err, open(self.directory / "watch.out", "w") as out:
            watching = subprocess.Popen(
                [os.environ["SESSREG_TOOL"], "--conf", self.site.conf, "--site", self.site.name,
                 "list", "--watch"], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.addCleanup(watching.kill)
        self.assert_soon(lambda: "alice" in (self.directory / "watch.out").read_text())
        cut(self.site.registry, 0)
        self.assert_soon(lambda: watching.poll() is not None or log.read_text())
        wait_until(lambda: watching.poll() is not None, 3)
        self.assertIn(watching.poll(), (None, UNUSABLE), log.read_text())
        line = log.read_text().splitlines()[0]
        self.assertTrue(line.startswith("sessreg: ") and "cut short" in line, line)


    def test_cut_while_it_is_being_read_it_says_so(self):
        self.site.configure(sessions_limit=3, capacity=200_000)
        self.log_in()
        command = [os.environ["SESSREG_TOOL"], "--conf", self.site.conf, "--site", self.site.name,
                   "list"]
        for turn in range(50):
            reading = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while reading.poll() is None:
                with open(f"/proc/{reading.pid}/maps") as maps:
                    if str(self.site.registry) in maps.read():
                        break
            reading.send_signal(signal.SIGSTOP)
            cut(self.site.registry, 0)
            reading.send_signal(signal.SIGCONT)
            out, err = reading.communicate(timeout=scene.HANG_S)
            self.assertEqual(self.tool("purge", "--rebuild").returncode, 0)
            if reading.returncode == 0:
                continue  # it was quicker
            self.assertEqual((reading.returncode, out), (UNUSABLE, ""), err)
            [line] = err.splitlines()
            if CUT_LINE in line:
                return
        self.fail("it was always quicker")


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
