#!/usr/bin/env python3
"""The playground: what is in it, that the commands of the tour work there, and that nothing remains.

usage: SESSREG_BUILD=… playground_test.py
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "support"))

import side_by_side  # noqa: E402

PLAYGROUND = [str(TREE / "tools/playground/run"), "--build", os.environ["SESSREG_BUILD"]]


def processes_of(directory):
    """Those that were started for this playground: they name it, or were born by one that does."""
    parents, found = {}, set()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        if os.fsencode(directory) in command:
            found.add(int(entry.name))
    more = True
    while more:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
    return found


class Playground(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.environment = os.environ | {"TMPDIR": self.scratch, "TZ": "UTC"}

    def run_in(self, script):
        result = subprocess.run([*PLAYGROUND, "--", "sh", "-c", script], env=self.environment,
                                capture_output=True, text=True, timeout=120)
        self.assert_nothing_remains()
        return result

    def assert_nothing_remains(self):
        end = time.monotonic() + 30
        while (os.listdir(self.scratch) or processes_of(self.scratch)) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(os.listdir(self.scratch), [])
        self.assertEqual(processes_of(self.scratch), set())

    def test_its_users_are_in_every_state_that_can_be_tried(self):
        result = self.run_in("""
            while [ "$(sessreg list --dangling --tsv | wc -l)" -lt 3 ]; do sleep 0.1; done
            sessreg list --json; sessreg list --dangling --tsv >&2
        """)
        self.assertEqual(result.returncode, 0, result.stderr)
        states = {s["user"]: s["state"] for s in json.loads(result.stdout)["sessions"]}
        self.assertEqual(states, {"anna": "active", "ben": "active", "carla": "active",
                                  "dora": "orphaned", "emil": "parked", "fred": "active",
                                  "gina": "reserved", "ida": "active", "jan": "active"})
        dangling = {line.split("\t")[2] for line in result.stderr.splitlines() if "\t" in line}
        self.assertEqual(dangling, {"ben", "emil", "jan"})

    def test_every_command_of_the_tour_works(self):
        script = r"""
            set -e
            sessreg status --json | grep -q '"site_full": 2'
            id=$(sessreg list --user ben --tsv | cut -f 1)
            sessreg show "$id" | grep -q '^user  *ben$'
            sessreg limit 5 | grep -q 'in force  *5'
            sessreg limit --configured | grep -q 'in force  *8'
            sessreg explain anna >/dev/null
            sessreg failures | grep -q '^192.0.2.66  *5 '
            sessreg failures --reset 192.0.2.66
            sessreg metrics | grep -q '^sessreg_seats_taken{site="playground"} 8$'
            sessreg purge
            sessreg list --by-user >/dev/null
            sessreg token verify | grep -q 'user  *ben$'
            sessreg touch
            sessreg list --user ben --tsv --idle 3s | grep -q ben && exit 1
            sessreg check --file "$SESSREG_PLAYGROUND/site.conf" | grep -q "idle_after. is 3s"
            ls "$SESSREG_PLAYGROUND" | grep -q '^playground.key$'
            sessreg list --kind device --tsv | cut -f 7 | grep -q '^Firefox Linux$'
            for user in ben dora gina carla jan; do
              sessreg revoke --user $user --grace 5s | grep -q ': ended$'
            done
            for try in 1 2 3 4 5 6 7 8 9 10; do
              ! grep -q 'has been revoked' "$SESSREG_PLAYGROUND/ben.terminal" || break
              sleep 0.5
            done
            test "$try" != 10
            test "$(sessreg list --tsv | cut -f 3 | sort | tr '\n' ' ')" = 'anna emil fred ida jan '
        """
        result = self.run_in(script)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_the_exit_code_is_the_command_s(self):
        self.assertEqual(self.run_in("exit 7").returncode, 7)

    def assert_nothing_remains_after(self, number):
        playground = subprocess.Popen(
            [*PLAYGROUND, "--", "sh", "-c", "echo here; exec sleep 30"],
            env=self.environment, stdout=subprocess.PIPE, text=True)
        self.assertEqual(playground.stdout.readline(), "here\n")
        children = processes_of(self.scratch)
        self.assertGreater(len(children), 5)
        # As a terminal would: the command, too.
        for pid in self.children_of(playground.pid):
            if self.name_of(pid) == "sleep":
                os.kill(pid, number)
        playground.send_signal(number)
        playground.wait(timeout=30)
        playground.stdout.close()
        if number == signal.SIGKILL:  # nobody is left to remove the directory
            end = time.monotonic() + 30
            while processes_of(self.scratch) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(processes_of(self.scratch), set())
        else:
            self.assert_nothing_remains()

    def test_nothing_remains_when_it_is_terminated(self):
        self.assert_nothing_remains_after(signal.SIGTERM)

    def test_nothing_remains_when_it_is_hung_up(self):
        self.assert_nothing_remains_after(signal.SIGHUP)

    def test_nothing_remains_when_it_is_killed(self):
        self.assert_nothing_remains_after(signal.SIGKILL)

    @staticmethod
    def name_of(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    @staticmethod
    def children_of(parent):
        return [int(pid) for task in pathlib.Path(f"/proc/{parent}/task").iterdir()
                for pid in (task / "children").read_text().split()]


if __name__ == "__main__":
    # Not as under nohup(1).
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    side_by_side.main(workers=6)
