"""One site: its configuration, the PAM stacks that lead to it, and what `sessreg` says of it.

Call private_host.enter() first: everything here is written to its private /etc and /run.
"""

import contextlib
import faulthandler
import itertools
import json
import os
import pathlib
import subprocess
import time
import unittest

SITE = "test"
# A test that takes so long hangs: where is shown, and the kernel ends what it has started.
HANGS_S = 200
SCENE = pathlib.Path("/run/scene")


def wait_until(condition, seconds=15):
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(0.05)


def site_full(limit):
    return f"There are more than {limit} active user sessions. Please try again later."


class SiteTest(unittest.TestCase):
    """One site per test, `sessions_limit` and further keys by self.configure()."""

    service = None  # the PAM service

    _numbers = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        cls.module = os.path.realpath(os.environ["SESSREG_MODULE"])
        cls.program = os.path.realpath(os.environ["SESSREG_TOOL"])

    def setUp(self):
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        self.directory = SCENE / f"site{next(self._numbers)}"
        self.directory.mkdir(mode=0o755, parents=True)
        self.conf = self.directory / "site.conf"
        self.registry = self.directory / "registry" / "site.reg"
        self.write_stack()
        self.clients = []
        self.addCleanup(self.end_clients)

    @contextlib.contextmanager
    def case(self, name):
        """One case of a test; what it leaves logged in does not disturb the next."""
        with self.subTest(name):
            try:
                yield
            finally:
                self.end_clients()

    def end_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    # --- The site ---

    def configure(self, **keys):
        self.write_conf("".join(f"{key} = {value}\n" for key, value in keys.items()))

    def write_conf(self, text):
        self.conf.write_text(f"registry = {self.registry}\nkey_file = {self.directory}/site.key\n{text}")
        self.conf.chmod(0o644)

    def write_stack(self, service=None, arguments="", first=""):
        service = service or self.service
        line = f"{self.module} site={SITE} conf={self.conf} {arguments}"
        pathlib.Path("/etc/pam.d", service).write_text(f"""{first}
auth     [success=1 default=ignore]  pam_unix.so nullok
auth     requisite                   pam_deny.so
auth     required                    pam_permit.so
account  [success=1 new_authtok_reqd=done default=ignore]  pam_unix.so
account  requisite                   pam_deny.so
account  required                    pam_permit.so
account  required                    {line}
session  required                    {line}
session  required                    pam_unix.so
""")

    def begin_audit_sessions(self):
        """Each login has one of its own, as by Debian's stacks of sshd and login."""
        stack = pathlib.Path("/etc/pam.d", self.service)
        stack.write_text(stack.read_text().replace(
            "session  required", "session  required  pam_loginuid.so\nsession  required", 1))

    def tool(self, *arguments, status=0):
        result = subprocess.run(
            [self.program, "--site", SITE, "--conf", self.conf, *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stdout}{result.stderr}")
        return result.stdout

    def listing(self):
        return json.loads(self.tool("list", "--json"))

    def sessions(self):
        return self.listing()["sessions"]

    def session(self, session_id):
        found = [s for s in self.sessions() if s["id"] == session_id]
        self.assertEqual(len(found), 1, self.listing())
        return found[0]

    def status(self):
        return json.loads(self.tool("status", "--json"))

    def active(self):
        return self.listing()["active"]

    def assert_soon_active(self, count, seconds=15):
        if not wait_until(lambda: self.active() == count, seconds):
            self.fail(f"should have {count} active sessions: {self.listing()}")
