#!/usr/bin/env python3
"""Real logins through a real sshd.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg sshd_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys

import private_host
import ssh_scene
from site_scene import SITE, site_full, wait_until
from ssh_scene import METHODS, SceneTest

FULL_AT_1 = site_full(1)


class EveryMethod(SceneTest):
    """What holds for logins by password, keyboard-interactive and public key alike, beside what
    sshd_contract_test.py shows of them."""

    def test_the_session_knows_its_id_and_site(self):
        self.configure()
        for method in METHODS:
            with self.case(method):
                client = self.log_in("alice", method)
                self.assertRegex(client.session_id, "^[0-9a-f]{32}$")
                self.assertEqual(client.site, SITE)
                self.assertEqual(self.session(client.session_id)["user"], "alice")

    def test_the_limit_is_exact(self):
        self.configure(sessions_limit=2)
        for method in METHODS:
            with self.case(method):
                clients = [self.log_in("alice", method), self.log_in("bob", method)]
                self.assertEqual(self.active(), 2)
                self.assert_refused("alice", method, text=site_full(2))
                self.assert_refused("bob", method, text=site_full(2))
                self.assertEqual(self.active(), 2)
                for client in clients:
                    client.log_out()
                self.assert_soon_active(0)

    def test_killing_the_client_gives_the_seat_back(self):
        self.configure(sessions_limit=1)
        for method in METHODS:
            with self.case(method):
                self.log_in("alice", method).kill()
                self.assert_soon_active(0)


class KindsOfSession(SceneTest):

    def test_a_refused_ssh_without_a_command_is_told_too(self):
        self.configure(sessions_limit=1)
        self.log_in("alice")
        self.assert_refused("bob", arguments=["-N", "scene"], text=FULL_AT_1)

    def test_a_refused_sftp_is_told_too(self):
        self.configure(sessions_limit=1)
        self.log_in("alice")
        client = self.start("bob", "publickey", "scene", program="sftp")
        client.process.stdin.close()
        self.assertEqual(client.wait(), 255, client)
        self.assertIn(FULL_AT_1, client.err.splitlines())

    def test_sftp_takes_a_seat_while_it_lasts(self):
        self.configure(sessions_limit=1)
        sftp = self.start("alice", "publickey", "scene", program="sftp")
        self.assert_soon_active(1)
        self.assert_refused("bob", text=FULL_AT_1)
        sftp.process.stdin.write(b"pwd\nbye\n")
        sftp.process.stdin.close()
        self.assertEqual(sftp.wait(), 0, sftp)
        self.assertIn("Remote working directory", sftp.out)
        self.assert_soon_active(0)

    def test_an_sftp_batch_gives_its_seat_back(self):
        self.configure(sessions_limit=1)
        batch = self.directory / "batch"
        batch.write_text("pwd\n")
        for _ in range(3):
            sftp = self.start("alice", "publickey", "-b", str(batch), "scene", program="sftp")
            self.assertEqual(sftp.wait(), 0, sftp)
            self.assert_soon_active(0)

    def test_ssh_without_a_command_takes_a_seat(self):
        self.configure(sessions_limit=1)
        client = self.start("alice", "publickey", "-N", "scene")
        self.assert_soon_active(1)
        self.assert_refused("bob", text=FULL_AT_1)
        client.kill()
        self.assert_soon_active(0)

    def test_a_shell_on_a_terminal_takes_a_seat(self):
        self.configure(sessions_limit=1)
        shell = self.start("alice", "publickey", "-tt", "scene")
        self.assert_soon_active(1)
        self.assert_refused("bob", text=FULL_AT_1)
        shell.process.stdin.write(b"exit\n")
        shell.process.stdin.flush()
        self.assertEqual(shell.wait(), 0, shell)
        self.assert_soon_active(0)

    def test_the_channels_of_one_connection_are_one_session(self):
        self.configure(sessions_limit=1)
        control = f"ControlPath={self.directory}/control"
        master = self.log_in("alice", options=["ControlMaster=yes", control])
        second = self.log_in("alice", options=["ControlMaster=no", control])
        self.assertEqual(second.session_id, master.session_id)
        self.assertEqual(self.active(), 1)

    def test_a_command_that_outlives_the_logout_keeps_no_seat(self):
        # sshd closes the session; a background job is not a login.
        self.configure(sessions_limit=1)
        client = self.start("alice", "publickey", "scene",
                            "sleep 600 </dev/null >/dev/null 2>&1 & echo $!")
        self.assertEqual(client.wait(), 0, client)
        self.addCleanup(os.kill, int(client.out), signal.SIGKILL)
        self.assert_soon_active(0)
        os.kill(int(client.out), 0)


class AbruptEnds(SceneTest):

    def test_an_ordinary_session_whose_privileged_sshd_was_killed_still_counts(self):
        self.configure(sessions_limit=1)
        for tty in ([], ["RequestTTY=force"]):
            with self.case("a terminal" if tty else "no terminal"):
                client = self.log_in("alice", options=tty)
                os.kill(self.session(client.session_id)["pid"], signal.SIGKILL)
                orphaned = wait_until(
                    lambda: self.session(client.session_id)["state"] == "orphaned")
                self.assertTrue(orphaned, self.listing())
                self.assertFalse(client.ended(), "the shell should live on")
                self.assert_refused("bob", text=FULL_AT_1)
                self.assertEqual(self.active(), 1)
                client.kill()
                self.assert_seat_comes_back()

    def test_a_root_session_ends_with_its_privileged_sshd(self):
        # Before OpenSSH 10 root's sshd has no separate privileged process.
        self.configure(sessions_limit=1, exempt="")
        client = self.log_in("root")
        os.kill(self.session(client.session_id)["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: client.ended() or any(
            session["state"] == "orphaned" for session in self.sessions())), self.listing())
        client.kill()
        self.assert_seat_comes_back()

    def test_a_login_that_stalls_before_its_session_holds_its_seat_only_while_it_lives(self):
        self.configure(sessions_limit=1)
        stalled = self.stall_after_account("alice")
        stalled.kill()
        self.assertTrue(wait_until(lambda: self.active() == 0, 30), self.listing())

    def test_a_login_that_stalls_before_its_session_gives_its_seat_to_another(self):
        self.configure(sessions_limit=1)
        stalled = self.stall_after_account("alice")
        bob = self.log_in_in_time("bob")
        self.go_on()
        self.assertNotEqual(stalled.wait(), 0, stalled)
        self.assertNotIn("IN", stalled.out)
        self.assertEqual([s["id"] for s in self.sessions()], [bob.session_id])

    def test_a_login_that_gave_its_seat_to_another_has_one_again_if_there_is_one(self):
        self.configure(sessions_limit=1)
        stalled = self.stall_after_account("alice")
        self.log_in_in_time("bob").log_out()
        self.assert_soon_active(0)
        self.go_on()
        self.assertIsNotNone(stalled.greeting(), stalled)
        self.assertEqual([s["state"] for s in self.sessions()], ["active"])

    def test_the_password_without_the_key_takes_a_seat_behind_keyboard_interactive_only(self):
        self.configure(sessions_limit=10)
        for method, host in ssh_scene.WANTS_MORE.items():
            with self.case(method):
                options = [f"BindAddress={host}"]
                before = self.status()["admissions"]
                self.assert_refused("alice", method, options=options)
                self.assertEqual(self.status()["admissions"] - before, int(method != "password"))
                both = self.log_in("alice", f"{method},publickey", options=options)
                self.assertEqual([s["id"] for s in self.sessions()], [both.session_id])
                both.log_out()
                self.assert_soon_active(0)

    def test_a_reservation_ends_and_its_late_login_needs_a_seat_of_its_own(self):
        self.configure(sessions_limit=1, reservation_time="3s")
        stalled = self.stall_after_account("alice")
        self.assertTrue(wait_until(lambda: self.active() == 0), self.listing())
        bob = self.log_in("bob")
        self.go_on()
        self.assertNotEqual(stalled.wait(), 0, stalled)
        self.assertNotIn("IN", stalled.out)
        self.assertEqual([s["id"] for s in self.sessions()], [bob.session_id])

    def test_a_late_login_binds_its_reservation(self):
        self.configure(sessions_limit=1)
        stalled = self.stall_after_account("alice")
        self.go_on()
        self.assertIsNotNone(stalled.greeting(), stalled)
        self.assertEqual([s["state"] for s in self.sessions()], ["active"])

    # sshd asks a keyboard-interactive client once more (nothing) after the account phase, so one
    # that does not hear it stalls between account and session.
    def stall_after_account(self, user):
        self.stall_file = self.directory / "stall"
        relay = shlex.join([sys.executable, str(ssh_scene.HERE / "stalling_relay.py")])
        client = self.start(
            user, "keyboard-interactive", "scene", ssh_scene.STAY, stall_file=self.stall_file,
            options=[f"ProxyCommand={relay} %p {self.stall_file}"])
        reserved = wait_until(lambda: [s["state"] for s in self.sessions()] == ["reserved"], 20)
        self.assertTrue(reserved, f"{self.listing()} {client}")
        return client

    def go_on(self):
        self.stall_file.unlink()

    def assert_seat_comes_back(self, seconds=15):
        """A login is let in, which is when the dead are searched for."""
        self.log_in_in_time("bob", seconds).log_out()

    def log_in_in_time(self, user, seconds=15):
        """A login that is let in as soon as whoever holds the seat has to give way."""
        clients = []

        def admitted():
            clients.append(self.start(user, "publickey", "scene", ssh_scene.STAY))
            return clients[-1].greeting() is not None
        self.assertTrue(wait_until(admitted, seconds), self.listing())
        clients[-1].session_id = clients[-1].greeting()[0]
        return clients[-1]
        self.assert_soon_active(0)


class ManyAtOnce(SceneTest):

    def test_of_twelve_logins_at_one_instant_exactly_three_get_in(self):
        self.configure(sessions_limit=3)
        for method in ("publickey", "keyboard-interactive"):
            with self.case(method):
                clients = [self.start("alice", method, "scene", ssh_scene.STAY)
                           for _ in range(12)]
                inside = [c for c in clients if c.greeting() is not None]
                self.assertEqual(len(inside), 3)
                for client in clients:
                    if client not in inside:
                        self.assertEqual(client.wait(), 255, client)
                        self.assertIn(site_full(3), client.err.splitlines())
                self.assertEqual(self.active(), 3)
                for client in inside:
                    client.log_out()
                self.assert_soon_active(0)


class WhoCounts(SceneTest):

    def test_root_is_exempt_and_listed(self):
        self.configure(sessions_limit=1)
        root = self.log_in("root")
        session = self.session(root.session_id)
        self.assertEqual((session["state"], session["seat"]), ("exempt", False))
        self.assertEqual(self.active(), 0)
        self.log_in("alice")
        self.log_in("root")
        self.assertEqual(self.active(), 1)
        root.log_out()
        gone = wait_until(lambda: root.session_id not in [s["id"] for s in self.sessions()])
        self.assertTrue(gone, self.listing())

    def test_root_counts_if_nobody_is_exempt(self):
        self.configure(sessions_limit=1, exempt="")
        self.log_in("root")
        self.assertEqual(self.active(), 1)
        self.assert_refused("root", text=FULL_AT_1)

    def test_a_user_can_be_exempt_through_a_group(self):
        self.configure(sessions_limit=0, exempt="@bob")
        self.assert_refused("alice")
        bob = self.log_in("bob")
        self.assertEqual(self.session(bob.session_id)["state"], "exempt")

    def test_an_ignored_service_is_neither_counted_nor_listed(self):
        self.configure(sessions_limit=0, ignore_services=ssh_scene.SERVICE)
        client = self.log_in("alice")
        self.assertIsNone(client.session_id)
        self.assertEqual(self.sessions(), [])

    def test_only_named_services_count(self):
        self.configure(sessions_limit=0, only_services="login")
        self.assertIsNone(self.log_in("alice").session_id)
        self.configure(sessions_limit=0, only_services=f"login {ssh_scene.SERVICE}")
        self.assert_refused("alice")


class TheLimitChanges(SceneTest):

    def test_an_edit_takes_effect_at_the_next_login(self):
        self.configure(sessions_limit=1)
        self.log_in("alice")
        self.assert_refused("bob", text=FULL_AT_1)
        self.configure(sessions_limit=2)
        self.log_in("bob")
        self.configure(sessions_limit=1)
        self.assert_refused("bob", text=FULL_AT_1)
        self.assertEqual(self.active(), 2)

    def test_the_tool_sets_a_limit_that_wins_until_it_is_taken_back(self):
        self.configure(sessions_limit=1)
        self.log_in("alice")
        self.tool("limit", "2")
        self.log_in("alice")
        self.assert_refused("alice", text=site_full(2))
        self.tool("limit", "--configured")
        self.assert_refused("alice", text=FULL_AT_1)

    def test_a_drained_site_admits_nobody_new(self):
        self.configure(sessions_limit=1)
        alice = self.log_in("alice")
        self.configure(sessions_limit=0)
        self.assert_refused(
            "bob", text="No new logins are admitted at the moment. Please try again later.")
        self.assertEqual(self.session(alice.session_id)["state"], "active")

    def test_no_limit_admits_everybody(self):
        self.configure(sessions_limit=-1)
        for _ in range(5):
            self.log_in("alice")
        self.assertEqual(self.active(), 5)

    def test_the_message_is_the_administrators(self):
        self.configure(sessions_limit=0,
                       message_drain="{user}: closed ({site}, {service}, {limit}) #12")
        self.assert_refused(
            "alice", text=f"alice: closed ({SITE}, {ssh_scene.SERVICE}, 0) #12")

    def test_a_quiet_module_says_nothing(self):
        self.configure(sessions_limit=1)
        self.write_stack(arguments="quiet")
        self.log_in("alice")
        self.assertNotIn("user sessions", self.assert_refused("alice").err)


class WhenItCannotWork(SceneTest):
    """Root gets in, others follow on_error, whatever is broken."""

    # Each case is tried by the next method: what is broken is found the same way by all.
    _methods = itertools.cycle(METHODS)

    def assert_only_root_gets_in(self):
        self.assert_refused("alice", next(self._methods))
        root = self.log_in("root")
        root.log_out()
        self.write_stack(arguments="on_error=allow")
        self.log_in("alice").log_out()
        self.write_stack(arguments="on_error=deny")
        self.assert_refused("alice")
        self.write_stack()

    def test_broken_configurations(self):
        kinds = {
            "an unknown key": "sessions_limits = 2\n",
            "a bad value": "sessions_limit = many\n",
            "a number with something after it": "sessions_limit = 2x\n",
            "a key twice": "sessions_limit = 2\nsessions_limit = 2\n",
            "a line without =": "sessions_limit\n",
            "an over-long line": "message_site_full = " + "x" * 9000 + "\n",
            "an over-long comment": "#" + "x" * 9000 + "\n",
            "an unknown section": "[host a]\n",
            "a capacity below the limit": "sessions_limit = 10\ncapacity = 5\n",
        }
        for kind, text in kinds.items():
            with self.case(kind):
                self.write_conf(text)
                self.assert_only_root_gets_in()

    def test_a_missing_named_configuration(self):
        self.conf.unlink(missing_ok=True)
        self.assert_only_root_gets_in()

    def test_a_configuration_that_others_could_write(self):
        for mode in (0o664, 0o646):
            with self.case(oct(mode)):
                self.configure()
                self.conf.chmod(mode)
                self.assert_only_root_gets_in()

    def test_a_configuration_that_belongs_to_somebody_else(self):
        self.configure()
        os.chown(self.conf, private_host.USERS["alice"], 0)
        self.assert_only_root_gets_in()

    def test_a_configuration_that_is_a_directory(self):
        self.conf.mkdir()
        self.assert_only_root_gets_in()

    def test_broken_registries(self):
        def foreign(path):
            path.write_bytes(os.urandom(path.stat().st_size))

        def foreign_and_short(path):
            path.write_text("hello\n")

        def empty(path):
            path.write_bytes(b"")

        def truncated(path):
            os.truncate(path, path.stat().st_size // 2)

        def cut_in_the_header(path):
            os.truncate(path, 100)

        def readable_by_others(path):
            path.chmod(0o644)

        def writable_by_others(path):
            path.chmod(0o602)

        def of_another_owner(path):
            os.chown(path, private_host.USERS["alice"], 0)

        def symbolic_link(path):
            path.rename(path.with_suffix(".real"))
            path.symlink_to(path.with_suffix(".real"))

        def dangling_link(path):
            path.unlink()
            path.symlink_to(path.with_suffix(".nothing"))

        def hard_link(path):
            os.link(path, path.with_suffix(".other"))

        def directory(path):
            path.unlink()
            path.mkdir()

        def fifo(path):
            path.unlink()
            os.mkfifo(path, 0o600)

        def header_altered(path):
            with open(path, "r+b") as file:
                file.seek(20)
                file.write(b"\xff\xff\xff\x7f")

        def directory_writable_by_others(path):
            path.parent.chmod(0o777)

        def directory_is_a_file(path):
            shutil.rmtree(path.parent)
            path.parent.write_text("")

        for damage in (foreign, foreign_and_short, empty, truncated, cut_in_the_header,
                       readable_by_others, writable_by_others, of_another_owner, symbolic_link,
                       dangling_link, hard_link, directory, fifo, header_altered,
                       directory_writable_by_others, directory_is_a_file):
            with self.case(damage.__name__):
                self.make_registry_afresh()
                damage(self.registry)
                self.assert_only_root_gets_in()

    def make_registry_afresh(self):
        directory = self.registry.parent
        if directory.is_dir():
            shutil.rmtree(directory)
        else:
            directory.unlink(missing_ok=True)
        self.configure()
        self.log_in("alice").log_out()
        self.assert_soon_active(0)

    def test_no_space_for_a_registry(self):
        self.configure()
        self.registry.parent.mkdir(mode=0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=64k", "tmpfs",
                        self.registry.parent], check=True)
        self.addCleanup(subprocess.run, ["umount", self.registry.parent], check=True)
        self.assert_only_root_gets_in()
        self.assertEqual(os.listdir(self.registry.parent), [])

    def test_the_configuration_may_let_others_in(self):
        self.configure(on_error="allow")
        self.registry.parent.mkdir(mode=0o755)
        self.registry.mkdir()
        self.log_in("alice")
        self.write_stack(arguments="on_error=deny")
        self.assert_refused("alice")

    def test_a_session_that_is_open_closes_though_the_configuration_broke(self):
        self.configure(sessions_limit=1)
        alice = self.log_in("alice")
        self.write_conf("nonsense\n")
        self.assertEqual(alice.log_out(), 0)
        self.configure(sessions_limit=1)
        self.assert_soon_active(0)


if __name__ == "__main__":
    ssh_scene.main("__main__")
