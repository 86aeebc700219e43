#!/usr/bin/env python3
"""Real jobs of a real cron(8): by default no sessions, and how they go where they count.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg cron_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import itertools
import os
import pathlib
import signal
import subprocess

import service_scene
from service_scene import LoginContract, ServiceTest, alive
from site_scene import SCENE, SiteTest, wait_until

TABLE = pathlib.Path("/etc/cron.d/scene")


class Job:
    """A job that says so when it begins and when it ends, which is when it is told to."""

    _numbers = itertools.count(1)
    _cron = None
    members = ()

    def __init__(self, user):
        self.directory = SCENE / f"job{next(self._numbers)}"
        self.directory.mkdir()
        self.directory.chmod(0o777)
        self.begun, self.done, self.fifo = (self.directory / name
                                            for name in ("begun", "done", "fifo"))
        os.mkfifo(self.fifo)
        self.fifo.chmod(0o666)
        script = self.directory / "script"
        script.write_text(f'echo "IN $SESSREG_ID" >{self.directory}/new\n'
                          f"mv {self.directory}/new {self.begun}\n"
                          f"cat {self.fifo}\necho done >{self.done}\n")
        # At the start of cron, not at the next full minute.
        TABLE.write_text(f'MAILTO=""\n@reboot {user} sh {script}\n')
        self.restart_cron()

    @classmethod
    def restart_cron(cls):
        if cls._cron is not None:
            cls._cron.kill()
            cls._cron.wait()
        pathlib.Path("/run/crond.reboot").unlink(missing_ok=True)
        with open(SCENE / "cron.log", "ab") as log:
            cls._cron = subprocess.Popen([service_scene.find_program("cron"), "-f", "-L", "15"],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ended(self):
        return not alive(self.members)

    def log_out(self):
        self.fifo.write_text("enough\n")
        wait_until(self.done.exists)

    def close(self):
        service_scene.end(self.members)


class NoSession(SiteTest):

    service = "cron"

    def test_a_job_runs_though_the_site_admits_nobody(self):
        self.configure(sessions_limit=0)
        job = Job("alice")
        self.assertTrue(wait_until(job.begun.exists))
        self.assertEqual(job.begun.read_text(), "IN \n")
        self.assertEqual(self.sessions(), [])
        job.log_out()
        self.assertTrue(job.done.exists())
        self.assertEqual(self.status()["admissions"], 0)


class WhereItCounts(LoginContract, ServiceTest):

    service = "cron"
    leader = "cron"
    settings = {"ignore_services": ""}

    def listed(self, login):
        return {"host": None, "tty": "cron"}

    def enter_service(self, user):
        job = Job(user)
        self.assertTrue(wait_until(job.begun.exists))
        return job

    def assert_refused(self, user):
        job = Job(user)
        # Nobody is told: the log is all there is.
        self.assertTrue(wait_until(lambda: self.status()["refusals"]["site_full"] == 1))
        self.assertFalse(wait_until(job.begun.exists, 0.5))

    def test_a_job_that_outlives_a_killed_cron_keeps_no_seat(self):
        # It has a sid of its own, by which nobody can tell whose it is.
        job = self.log_in("alice")
        os.kill(job.session["pid"], signal.SIGKILL)
        self.assert_purged(job)
        job.log_out()
        self.assertTrue(job.done.exists())

    def test_the_job_knows_its_session(self):
        job = self.log_in("alice")
        self.assertEqual(job.begun.read_text(), f"IN {job.session['id']}\n")


def prepare():
    service_scene.find_program("cron")
    # No job of this host may run here.
    pathlib.Path("/etc/crontab").write_text("")
    for table in pathlib.Path("/etc/cron.d").iterdir():
        table.unlink()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/var/spool/cron"],
                   check=True)
    pathlib.Path("/var/spool/cron/crontabs").mkdir()


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
