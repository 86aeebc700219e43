#!/usr/bin/env python3
"""What is installed is enough to build programs with: the example, in C and as others would.

usage: installed_test.py BUILD-DIRECTORY EXAMPLE.c
Exits with 77 where there is no C compiler or pkg-config.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv[1])
EXAMPLE = pathlib.Path(sys.argv[2])
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=300, **options)


def must(*command, **options):
    done = run(*command, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        root = cls.work / "root"
        must("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
        found = list(root.rglob("libsessreg.pc"))
        assert len(found) == 1, found
        cls.library_dir = found[0].parent.parent
        cls.header = next(root.rglob("sessreg.h"))
        cls.environment = os.environ | {"PKG_CONFIG_PATH": str(found[0].parent),
                                        "LD_LIBRARY_PATH": str(cls.library_dir)}
        prefix = cls.header.parent.parent
        cls.flags = must("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs",
                         "libsessreg", env=cls.environment).split()
        cls.version = must("pkg-config", "--modversion", "libsessreg", env=cls.environment).strip()
        cls.program = cls.work / "gateway"
        must("cc", "-std=c11", *STRICT, EXAMPLE, *cls.flags, "-o", cls.program)

    def setUp(self):
        self.site = pathlib.Path(tempfile.mkdtemp(dir=self.work))
        self.configure("sessions_limit = 1\n")

    def configure(self, text):
        conf = self.site / "site.conf"
        conf.write_text(f"registry = {self.site}/registry/site.reg\nkey_file = {self.site}/site.key\n"
                        + text)
        conf.chmod(0o644)

    def command(self, user="daemon"):
        return [str(self.program), user, "192.0.2.1", str(self.site / "site.conf")]

    def gateway(self):
        started = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, env=self.environment)

        def clean_up():
            started.kill()
            started.wait()
            started.stdin.close()
            started.stdout.close()
        self.addCleanup(clean_up)
        return started

    def test_flags_are_of_what_was_installed(self):
        self.assertIn("-lsessreg", self.flags)
        self.assertIn(f"-L{self.library_dir}", self.flags)

    def test_the_library_has_its_names(self):
        name = os.readlink(self.library_dir / "libsessreg.so")
        self.assertEqual(name, "libsessreg.so.0")
        self.assertEqual(os.readlink(self.library_dir / name), "libsessreg.so." + self.version)

    def test_the_example_admits_uses_lists_and_closes(self):
        first = self.gateway()
        session = first.stdout.readline().split()
        self.assertEqual(session[0], "session")
        self.assertEqual(first.stdout.readline(), "1 seats taken\n")
        self.assertIn(f"{session[1][:8]} pid {first.pid} idle", first.stdout.readline())
        first.stdin.write("hello\n")
        first.stdin.flush()
        self.assertEqual(first.stdout.readline(), "used\n")

        second = run(*self.command("bin"), env=self.environment, stdin=subprocess.DEVNULL)
        self.assertEqual(second.stdout, "There are more than 1 active user sessions. Please try "
                                        "again later.\n")
        self.assertEqual(second.returncode, 1)
        first.stdin.close()
        self.assertEqual(first.wait(60), 0)
        third = run(*self.command("bin"), env=self.environment, stdin=subprocess.DEVNULL)
        self.assertEqual(third.returncode, 0, third.stdout + third.stderr)

    def test_the_example_that_is_killed_leaves_its_seat(self):
        killed = self.gateway()
        killed.stdout.readline()
        killed.kill()
        killed.wait(60)
        after = run(*self.command("bin"), env=self.environment, stdin=subprocess.DEVNULL)
        self.assertEqual(after.returncode, 0, after.stdout + after.stderr)

    def test_the_example_serves_a_browser_in_any_process(self):
        conf = str(self.site / "site.conf")

        def request(user, device):
            return run(self.program, "--no-process", user, device, conf, env=self.environment)
        first = request("alice", "x").stdout.split()
        self.assertEqual(first[0], "session")
        self.assertTrue(first[2].startswith("v4.public."), first)
        self.assertEqual(request("alice", "x").stdout.split(), ["session", first[1], "used"])
        refused = request("bob", "y")
        self.assertEqual(refused.stdout, "There are more than 1 active user sessions. Please try "
                                         "again later.\n")
        self.assertEqual(refused.returncode, 1)
        must(self.program, "--log-out", first[2], conf, env=self.environment)
        self.assertEqual(request("bob", "y").returncode, 0)
        again = run(self.program, "--log-out", first[2], conf, env=self.environment)
        self.assertEqual(again.returncode, 3)
        self.assertIn("the session has ended", again.stderr)
        self.assertEqual(run(self.program, "--nonsense", "x", env=self.environment).returncode, 2)

    def requests_at_once(self, *browsers):
        """The answers and exit statuses of as many processes, one for each user and device."""
        conf = str(self.site / "site.conf")
        started = [subprocess.Popen([str(self.program), "--no-process", *browser, conf],
                                    stdout=subprocess.PIPE, text=True, env=self.environment)
                   for browser in browsers]
        return [(process.communicate(timeout=60)[0], process.returncode) for process in started]

    def seats_taken(self):
        """By the example as a user of its own, whose seat is not counted."""
        answers = must(*self.command("bin"), env=self.environment, stdin=subprocess.DEVNULL)
        return int(answers.splitlines()[1].removesuffix(" seats taken")) - 1

    def test_two_processes_at_once_share_the_seat_of_a_device(self):
        self.configure("sessions_limit = 9\n")
        for number in range(20):
            device = ("alice", f"x{number % 3}")
            sessions = set()
            for answer, status in self.requests_at_once(device, device):
                self.assertEqual(status, 0, answer)
                sessions.add(answer.split()[1])
            self.assertEqual(len(sessions), 1)
            self.assertEqual(self.seats_taken(), min(number + 1, 3))

    def test_two_devices_at_once_take_a_seat_each_as_far_as_there_are_seats(self):
        full = ("There are more than 1 active user sessions. Please try again later.\n", 1)
        for number in range(20):
            self.site = pathlib.Path(tempfile.mkdtemp(dir=self.work))
            self.configure("sessions_limit = 9\n")
            devices = ("alice", "x"), ("alice" if number % 2 else "bob", "y")
            answers = self.requests_at_once(*devices)
            self.assertEqual([status for _, status in answers], [0, 0], answers)
            self.assertEqual(len({answer.split()[1] for answer, _ in answers}), 2)
            self.assertEqual(self.seats_taken(), 2)

            self.site = pathlib.Path(tempfile.mkdtemp(dir=self.work))
            self.configure("sessions_limit = 1\n")
            answers = self.requests_at_once(*devices)
            self.assertEqual(sorted(status for _, status in answers), [0, 1], answers)
            self.assertIn(full, answers)

    def test_the_example_says_what_is_wrong(self):
        self.configure("sessions_limit = ten\n")
        broken = run(*self.command(), env=self.environment, stdin=subprocess.DEVNULL)
        self.assertEqual(broken.returncode, 3)
        self.assertRegex(broken.stderr, f"^gateway: open: {self.site}/site.conf:3: .*"
                                        r"\(unusable configuration\)\n$")
        self.assertEqual(run(self.program, env=self.environment).returncode, 2)

    def test_the_header_is_strict_c_and_cplusplus_and_can_stand_alone(self):
        source = self.work / "alone.c"
        source.write_text("#include <sessreg.h>\n#include <sessreg.h>\n"
                          "int main(void) { return sessreg_version() != SESSREG_VERSION; }\n")
        for compiler, standards in (("cc", ("c99", "c11", "c17")),
                                    ("c++", ("c++98", "c++11", "c++20"))):
            if not shutil.which(compiler):
                continue
            for standard in standards:
                with self.subTest(standard):
                    language = "c" if compiler == "cc" else "c++"
                    extra = ["-Wno-long-long"] if standard == "c++98" else []
                    must(compiler, f"-std={standard}", "-x", language, *STRICT, *extra, source,
                         *self.flags, "-o", self.work / "alone")
                    must(self.work / "alone", env=self.environment)

    def test_the_example_of_the_manual_page_is_strict_c(self):
        page = (EXAMPLE.parent / "sessreg.3").read_text()
        parts = page.split("/* Logging in, once")[1].split("\n.Ed\n")
        use = parts[1].split("indent\n")[1]
        source = self.work / "web.c"
        source.write_text(
            "#include <sessreg.h>\n"
            "int page(void), redirect(const char *), reply(int, const char *);\n"
            "int ask_for_password(const char *);\n"
            "void set_cookie(const char *, const char *);\n"
            "int log_in(const sessreg_site *, const char *, const char *);\n"
            "int serve(const sessreg_site *, const char *);\n"
            "int log_out(const sessreg_site *, const char *);\n"
            "int use(const sessreg_site *);\n"
            f"/* Logging in, once{parts[0]}\n"
            "int use(const sessreg_site *site)\n{\n"
            "sessreg_error error = SESSREG_ERROR_INIT;\nsessreg_login login = SESSREG_LOGIN_INIT;\n"
            f"sessreg_session *session;\nint code;\n{use}\nreturn page();\n}}\n")
        must("cc", "-std=c99", *STRICT, "-c", source, *self.flags, "-o", self.work / "web.o")

    def test_an_answer_must_be_looked_at(self):
        source = self.work / "careless.c"
        source.write_text("#include <sessreg.h>\n"
                          "int main(void) { sessreg_bind(NULL, NULL, NULL); return 0; }\n")
        careless = run("cc", "-std=c11", *STRICT, source, *self.flags, "-o", self.work / "careless")
        self.assertNotEqual(careless.returncode, 0)
        self.assertIn("unused-result", careless.stderr)


if __name__ == "__main__":
    for needed in ("cc", "pkg-config", "meson"):
        if not shutil.which(needed):
            print(f"SKIP: there is no {needed} here")
            raise SystemExit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
