#!/usr/bin/env python3
"""sessregd starting, stopping, being killed, and what it serves meanwhile.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       life_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import scene
from scene import ALICE, Daemon, DaemonTest, Refused, Site, is_alive, wait_until


class Background(DaemonTest):
    """Without --foreground."""

    def start(self, *arguments, at=None):
        return subprocess.run(
            [os.environ["SESSREG_DAEMON"], "--socket", at or self.socket_path, "--site", self.site.name,
             "--conf", self.site.conf, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=scene.HANG_S)

    def test_the_parent_returns_when_the_daemon_answers(self):
        self.site.configure()
        self.log_in()
        started = self.start()
        self.assertEqual((started.returncode, started.stdout, started.stderr), (0, "", ""))
        self.assertEqual(len(self.list()["sessions"]), 1)
        _, pid = self.heartbeat()
        os.kill(pid, signal.SIGTERM)
        self.assert_soon(lambda: not is_alive(pid))
        self.assertFalse(self.socket_path.exists())

    def assert_fails_with(self, started, code, *words):
        self.assertEqual(started.returncode, code, started.stderr)
        [line] = started.stderr.splitlines()
        self.assertTrue(line.startswith("sessregd: "), line)
        for word in words:
            self.assertIn(word, line)

    def test_a_second_daemon_on_the_socket_refuses(self):
        self.site.configure()
        self.start_daemon()
        self.assert_fails_with(self.start(), 5, str(self.socket_path), "already")
        self.call("List", site=self.site.name)

    def test_a_bad_configuration_is_named(self):
        self.site.configure(sesions_limit=1)
        self.assert_fails_with(self.start(), 5, str(self.site.conf), "sesions_limit")
        self.site.conf.unlink()
        self.assert_fails_with(self.start(), 5, str(self.site.conf))

    def test_a_socket_that_cannot_be_made_is_named(self):
        self.site.configure()
        self.socket_path.write_text("somebody's file\n")
        self.assert_fails_with(self.start(), 5, str(self.socket_path))
        self.assertEqual(self.socket_path.read_text(), "somebody's file\n")
        self.assert_fails_with(self.start(at="/nowhere/sock"), 5, "/nowhere/sock")

    def test_a_wrong_command_line_is_named(self):
        self.assert_fails_with(self.start(at="here"), 2, "--socket here")
        self.assert_fails_with(self.start("--bogus"), 2, "bogus")
        self.assert_fails_with(self.start("--site", "another"), 2, "--conf")


class Stopping(DaemonTest):
    def test_sigterm_ends_it_well(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        watcher = self.connect()
        watcher.send("Watch", more=True)
        watcher.receive()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(self.socket_path.exists())
        self.assertTrue(is_alive(session.pid))

    def test_it_removes_no_socket_but_its_own(self):
        self.site.configure()
        self.start_daemon()
        self.socket_path.unlink()
        first, self.daemon = self.daemon, None
        self.start_daemon()
        self.assertEqual(first.stop(), 0)
        self.assertTrue(self.socket_path.exists())
        self.call("List", site=self.site.name)

    def test_killed_and_started_again_it_has_lost_nothing(self):
        self.site.configure(sessions_limit=3)
        self.start_daemon()
        first, second, third = [self.log_in() for _ in range(3)]
        self.assert_seats(3)
        self.call("Touch", token=first.token)
        self.daemon.kill()
        self.assertTrue(self.socket_path.exists())
        with self.assertRaises(Refused):
            self.log_in()  # limits hold
        os.kill(third.pid, signal.SIGKILL)
        self.start_daemon()
        self.assert_seats(2)
        self.assertEqual({s["id"] for s in self.list()["sessions"]}, {first.id, second.id})
        for session in first, second:
            self.call("Touch", ALICE, token=session.token)
        self.assertEqual(self.call("Revoke", ALICE, id=second.id)["result"], "ended")
        self.assert_seats(1)

    def test_a_logout_is_not_logged_as_a_death(self):
        self.site.configure()
        self.start_daemon()
        watcher = self.watch()
        for _ in range(5):
            session = self.log_in()
            self.assert_seen(watcher, session, "opened")
            session.close()
            self.assert_seen(watcher, session, "opened", "closed")
        self.assertNotIn("freed", self.daemon.log())

    def test_a_client_of_a_killed_daemon_learns_it(self):
        self.site.configure()
        self.start_daemon()
        client = self.connect()
        client.send("Watch", more=True)
        client.receive()
        self.daemon.kill()
        with self.assertRaises((EOFError, ConnectionError)):
            client.receive()


class Heartbeat(DaemonTest):
    def test_it_says_that_it_is_there(self):
        self.site.configure()
        self.log_in()
        self.start_daemon()
        self.assert_soon(lambda: self.heartbeat()[1] == self.daemon.pid)
        seen, _ = self.heartbeat()
        self.assertLess(abs(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 - seen), 5000)
        self.assert_soon(lambda: self.heartbeat()[0] > seen)
        self.daemon.kill()
        last = self.heartbeat()
        time.sleep(0.5)
        self.assertEqual(self.heartbeat(), last)


class Configuration(DaemonTest):
    def limit(self):
        return self.list()["limit"]

    def hang_up(self):
        self.daemon.process.send_signal(signal.SIGHUP)

    def test_sighup_reads_it_again(self):
        self.site.configure(sessions_limit=2, idle_after="1s", message_site_full="old")
        self.start_daemon()
        self.assertEqual(self.limit(), 2)
        parked = self.log_in()
        self.call("Touch", token=parked.token)
        self.log_in()
        time.sleep(1.5)
        self.log_in("bob")
        self.assertEqual(self.assert_fails("SiteFull", "Touch", token=parked.token)["message"],
                         "old")
        self.site.configure(sessions_limit=2, idle_after="1s", message_site_full="new")
        self.hang_up()
        self.assert_soon(lambda: self.assert_fails("SiteFull", "Touch", token=parked.token)
                         ["message"] == "new")

    def test_a_bad_one_is_logged_and_the_old_one_stays(self):
        self.site.configure(sessions_limit=2)
        self.start_daemon()
        self.site.configure(sessions_limit="two")
        self.hang_up()
        self.assert_soon(lambda: f"{self.site.conf}:3" in self.daemon.log())
        self.assertEqual(self.limit(), 2)
        self.site.configure(sessions_limit=3)
        self.hang_up()
        self.assert_soon(lambda: self.limit() == 3)

    def test_what_a_login_has_read_is_read_without_a_hangup(self):
        self.site.configure(sessions_limit=2)
        self.start_daemon()
        self.log_in()
        self.site.configure(sessions_limit=7)
        self.log_in()
        self.assert_soon(lambda: self.limit() == 7)

    def test_the_registry_may_move(self):
        self.site.configure(sessions_limit=2)
        self.start_daemon()
        watcher = self.watch()
        before = self.log_in()
        self.assert_seen(watcher, before, "opened")
        self.site.registry = self.directory / "elsewhere.reg"
        self.site.configure(sessions_limit=2)
        self.hang_up()
        self.assert_soon(lambda: self.list()["active"] == 0)
        session = self.log_in()
        self.assert_seen(watcher, session, "opened")
        self.assert_seats(1)


class Registries(DaemonTest):
    def test_one_that_is_made_later_is_found(self):
        self.site.configure()
        self.start_daemon()
        self.assertEqual(self.list()["sessions"], [])
        session = self.log_in()
        self.call("Touch", token=session.token)  # before the next tick, maybe
        self.assert_seats(1)

    def test_one_that_is_removed_or_replaced_is_let_go_of(self):
        self.site.configure()
        self.start_daemon()
        for _ in range(3):
            session = self.log_in()
            self.assert_seats(1)
            self.site.registry.unlink()
            self.assert_soon(lambda: not self.list()["sessions"])
            newer = self.log_in("bob")
            self.assert_soon(lambda: self.listed(newer) is not None)
            self.assertEqual(self.list()["active"], 1)
            session.kill()
            newer.kill()
            self.assert_seats(0)

    def test_one_that_is_replaced_while_a_session_is_being_ended(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in(ignores=["SIGHUP", "SIGTERM"])
        client = self.connect()
        client.send("Revoke", id=session.id, grace_seconds=60)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        self.site.registry.unlink()
        newer = self.log_in("bob")
        with self.assertRaises(scene.CallFailed) as caught:
            client.receive()
        self.assertEqual(caught.exception.name, "NoSuchSession")
        self.assert_soon(lambda: self.listed(newer) is not None)

    def test_one_that_cannot_be_used_is_said_once(self):
        self.site.configure()
        self.site.registry.write_text("no registry at all\n" * 100)
        self.site.registry.chmod(0o600)
        self.start_daemon()
        self.assert_soon(lambda: str(self.site.registry) in self.daemon.log())
        time.sleep(1)
        self.assertEqual(self.daemon.log().count(str(self.site.registry)), 1)
        self.assertEqual(self.list()["sessions"], [])
        self.site.registry.unlink()
        self.log_in()
        self.assert_seats(1)


class Manager(DaemonTest):
    """As systemd starts it."""

    def notified(self, until, seconds=scene.HANG_S):
        words = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and not any(until in word for word in words):
            try:
                words.append(self.notify.recv(4096).decode())
            except TimeoutError:
                pass
        return words

    def start_notifying(self, **environment):
        path = self.directory / "notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notify.close)
        self.notify.bind(str(path))
        self.notify.settimeout(0.5)
        self.start_daemon(environment={"NOTIFY_SOCKET": str(path)} | environment)

    def start_with(self, passed, *arguments, **options):
        """With that descriptor as its third, and the pid that LISTEN_PID must name."""
        code = ("import os, sys; os.dup2(int(sys.argv[1]), 3); "
                "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
                "os.execv(sys.argv[2], sys.argv[2:])")
        return subprocess.Popen(
            [sys.executable, "-c", code, str(passed.fileno()), os.environ["SESSREG_DAEMON"],
             "--foreground", "--site", self.site.name, "--conf", self.site.conf, *arguments],
            stdin=subprocess.DEVNULL, pass_fds=[passed.fileno()], **options)

    def test_it_says_ready_reloading_and_stopping(self):
        self.site.configure()
        self.start_notifying()
        self.assertIn("READY=1", self.notified("READY")[-1])
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assertIn("MONOTONIC_USEC=", self.notified("RELOADING")[-1])
        self.assertIn("READY=1", self.notified("READY")[-1])
        self.daemon.process.terminate()
        self.assertIn("STOPPING=1", self.notified("STOPPING")[-1])
        self.assertEqual(self.daemon.stop(), 0)

    def test_it_feeds_the_watchdog(self):
        self.site.configure()
        # The pid is not known before it is started; without WATCHDOG_PID it is whoever has this.
        self.start_notifying(WATCHDOG_USEC="1000000")
        for _ in range(3):
            self.assertIn("WATCHDOG=1", self.notified("WATCHDOG")[-1])

    def test_it_serves_the_socket_that_it_is_given(self):
        self.site.configure()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self.socket_path))
        self.socket_path.chmod(0o666)
        listening.listen()
        with open(self.directory / "daemon.log", "w") as log:
            process = self.start_with(listening, "--socket", self.directory / "unused",
                                      stdout=log, stderr=log)
        listening.close()
        session = self.log_in()
        self.call("Touch", ALICE, token=session.token)
        self.assertFalse((self.directory / "unused").exists())
        process.terminate()
        self.assertEqual(process.wait(scene.HANG_S), 0)
        # It is the manager's.
        self.assertTrue(stat.S_ISSOCK(self.socket_path.stat().st_mode))

    def test_it_refuses_a_descriptor_that_is_no_socket(self):
        self.site.configure()
        with open("/dev/null") as null:
            process = self.start_with(null, stderr=subprocess.PIPE, text=True)
        _, err = process.communicate(timeout=scene.HANG_S)
        self.assertEqual(process.returncode, 5)
        self.assertIn("descriptor 3 is not a listening unix stream socket", err)


class Sites(DaemonTest):
    def site_of_host(self, name, **keys):
        directory = pathlib.Path("/etc/security/sessreg.d")
        directory.mkdir(parents=True, exist_ok=True)
        site = Site(name, self.directory, conf=directory / f"{name}.conf")
        site.configure(**keys)
        return site

    def test_several_sites_are_served_by_one_daemon(self):
        a = self.site_of_host("a", sessions_limit=1)
        b = self.site_of_host("b", sessions_limit=2)
        self.start_daemon("--site", "a", "--site", "b")
        watcher, of_b = self.watch(), self.watch(site="b")
        in_a, in_b = self.log_in(site=a), self.log_in("bob", site=b)
        for session in in_a, in_b:
            self.assert_seen(watcher, session, "opened")
            self.call("Touch", token=session.token)
        self.assertEqual([self.call("List", site=s)["limit"] for s in "ab"], [1, 2])
        self.assertEqual(self.call("TouchMany", tokens=[in_a.token, in_b.token])["marked"], 2)
        os.kill(in_a.pid, signal.SIGKILL)
        self.assert_seen(watcher, in_a, "opened", "closed")
        self.assert_seen(of_b, in_b, "opened")
        self.assertEqual(of_b.of(in_a), [])
        self.assert_fails("org.varlink.service.ExpectedMore", "List")
        self.assertEqual(self.call("Revoke", id=in_b.id)["result"], "ended")

        # A site that is not served is none.
        self.site_of_host("c", sessions_limit=3)
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assert_soon(lambda: "reading" in self.daemon.log())
        self.assert_fails("NoSuchSite", "List", site="c")

    def test_without_names_it_serves_all_and_finds_new_ones_at_sighup(self):
        self.site_of_host("d", sessions_limit=4)
        # What the default site keeps must be of this test, too.
        pathlib.Path("/etc/security").mkdir(exist_ok=True)
        self.daemon = Daemon(self, [])
        self.assertEqual(self.call("List", site="d")["limit"], 4)
        self.assertEqual(self.call("List", site="default")["sessions"], [])
        e = self.site_of_host("e", sessions_limit=5)
        broken = self.site_of_host("f", sessions_limit="many")
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assert_soon(lambda: str(broken.conf) in self.daemon.log())
        self.assertEqual(self.call("List", site="e")["limit"], 5)
        self.assert_fails("NoSuchSite", "List", site="f")
        session = self.log_in(site=e)
        self.assert_soon(lambda: self.call("List", site="e")["active"] == 1)
        e.conf.unlink()
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assert_soon(lambda: "e" not in {s for s in self.sites_served()})
        self.assertTrue(is_alive(session.pid))

    def sites_served(self):
        client = self.connect()
        client.send("List", more=True)
        names = []
        while True:
            answer = client.receive()
            names.append(answer["parameters"]["site"])
            if not answer.get("continues"):
                return names


class Storm(DaemonTest):
    def test_killed_again_and_again_in_a_login_storm_it_miscounts_nothing(self):
        self.site.configure(sessions_limit=14, user_sessions_limit=9)
        self.start_daemon()
        services = [self.service] + [scene.LoginService() for _ in range(3)]
        is_over = threading.Event()
        kept = [[] for _ in services]
        counts = {"in": 0, "refused": 0, "other": []}

        def tried():
            return counts["in"] + counts["refused"]

        def storm(service, sessions):
            number = 0
            while not is_over.is_set():
                number += 1
                answer = service.order(
                    do="open", user="alice" if number % 2 else "bob",
                    confdir=str(self.directory / "pam"), service=self.site.service,
                    dies=number % 5 == 0)
                if answer["code"] != 0:
                    counts["refused"] += 1
                    if answer["code"] != 6:  # PAM_PERM_DENIED
                        counts["other"].append(answer)
                else:
                    counts["in"] += 1
                    if number % 5 != 0:
                        sessions.append(scene.Session(service, answer))
                # Somebody goes when it is full, or nobody would come any more.
                if sessions and (answer["code"] != 0 or len(sessions) >= 5):
                    gone = sessions.pop(0)
                    if number % 3:
                        gone.close()
                    else:
                        os.kill(gone.pid, signal.SIGKILL)

        threads = [threading.Thread(target=storm, args=pair) for pair in zip(services, kept)]
        for thread in threads:
            thread.start()
        try:
            for killed in range(1, 21):
                enough = tried() + 10
                wait_until(lambda: tried() >= enough)
                self.daemon.kill()
                self.start_daemon()
        finally:
            is_over.set()
        for thread in threads:
            thread.join()
        self.addCleanup(lambda: [service.stop() for service in services[1:]])
        sessions = [session for of_one in kept for session in of_one]
        self._sessions += sessions
        self.assertEqual(counts["other"], [])
        self.assert_seats(len(sessions))
        wait_until(lambda: len(self.list()["sessions"]) == len(sessions))
        self.assertEqual({s["id"] for s in self.list()["sessions"]}, {s.id for s in sessions})
        for session in sessions:
            self.call("Touch", token=session.token)
            session.kill()
        self.assert_seats(0)
        print(f"  {counts['in']} logins, {counts['refused']} refused, "
              f"the daemon killed {killed} times")


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
