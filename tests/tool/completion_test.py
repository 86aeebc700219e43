#!/usr/bin/env python3
"""What bash and zsh offer when somebody presses the tabulator key, in the playground.

usage: SESSREG_BUILD=… SESSREG_TOOL_NAME=… completion_test.py
"""

import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["SESSREG_BUILD"])
TOOL = os.environ.get("SESSREG_TOOL_NAME", "sessreg")
INSIDE = "SESSREG_PLAYGROUND"

COMMANDS = {"list", "show", "status", "metrics", "revoke", "message", "limit", "reload", "purge", "failures", "explain",
            "touch", "token", "check"}
STATES = {"active", "parked", "reserved", "orphaned", "left", "ending", "exempt", "observed"}


def sessions():
    listed = subprocess.run(["sessreg", "list", "--tsv"], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in listed.stdout.splitlines()]


class Completions:
    """Both shells offer the same; each has its own complete(words): the last is being typed."""

    def offered(self, *words):
        return set(self.complete(*words))

    def test_commands(self):
        self.assertEqual(self.offered(""), COMMANDS)
        self.assertEqual(self.offered("rev"), {"revoke"})
        self.assertEqual(self.offered("--site", "lab", "st"), {"status"})
        self.assertEqual(self.offered("token", ""),
                         {"inspect", "verify", "keygen", "rotate", "public"})

    def test_options_are_those_that_the_tool_takes(self):
        for command in sorted(COMMANDS):
            text = subprocess.run(["sessreg", command, "--help"], capture_output=True, text=True,
                                  check=True).stdout
            for option in self.offered(command, "--"):
                with self.subTest(command=command, option=option):
                    self.assertTrue(option in text or option in ("--site", "--conf", "--json"))
        for option in ("--watch", "--by-user", "--tsv", "--state", "--user"):
            self.assertIn(option, self.offered("list", "--"))
        self.assertIn("--public-key", self.offered("token", "verify", "--"))
        for option in ("--dry-run", "--reason", "--self"):
            self.assertIn(option, self.offered("revoke", "--"))

    def test_states_and_orders(self):
        self.assertEqual(self.offered("list", "--state", ""), STATES)
        self.assertTrue({"activity", "opened", "user"} <= self.offered("list", "--sort", ""))
        self.assertEqual(self.offered("list", "--sort", "ac"), {"activity"})

    def test_what_is_left_is_offered_after_a_comma(self):
        def left(*words):
            return {word.rpartition(",")[2] for word in self.offered(*words)}
        self.assertEqual(left("list", "--state", "active,parked,"), STATES - {"active", "parked"})
        self.assertEqual(left("revoke", "--state", "exempt,o"), {"orphaned", "observed"})
        self.assertEqual(left("list", "--kind", "device,"), {"process"})

    def test_hosts_with_failures(self):
        self.assertEqual(self.offered("failures", "--reset", ""), {"192.0.2.66"})
        self.assertEqual(self.offered("failures", "--reset", "192.0.2.1"), set())

    def test_users_and_hosts_of_the_sessions_that_there_are(self):
        self.assertEqual(self.offered("list", "--user", ""),
                         {"anna", "ben", "carla", "dora", "emil", "fred", "gina", "ida",
                          "jan"})
        self.assertEqual(self.offered("revoke", "--user", "an"), {"anna"})
        self.assertEqual(self.offered("list", "--host", ""),
                         {session[5] for session in sessions()})

    def test_ids(self):
        known = sessions()
        ben = next(session for session in known if session[2] == "ben")
        self.assertEqual(self.offered("show", ben[0][:8]), {ben[0]})
        self.assertEqual(self.offered("revoke", ben[0][:8]), {ben[0]})
        self.assertEqual(self.offered("message", ben[0][:8]), {ben[0]})
        self.assertEqual(self.offered("show", "xyz"), set())

    def test_sites(self):
        self.assertIn("default", self.offered("--site", ""))


class Bash(Completions, unittest.TestCase):
    def complete(self, *words, kind="9"):
        script = f"""
            source {BUILD}/tools/completions/{TOOL}.bash
            alias_of=$(complete -p {TOOL}) || exit 1
            words=("$@")
            COMP_WORDS=(sessreg "${{words[@]}}") COMP_CWORD=${{#words[@]}} COMP_TYPE={kind}
            COMP_LINE="${{COMP_WORDS[*]}}" COMP_POINT=${{#COMP_LINE}}
            function_name=${{alias_of#*-F }}
            "${{function_name%% *}}" sessreg "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        result = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], text=True,
                                capture_output=True, timeout=60)
        # compopt has something to change only where readline calls.
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, 0)
        return [line for line in result.stdout.splitlines() if line]

    def test_both_names_of_the_tool_are_completed(self):
        script = f"source {BUILD}/tools/completions/{TOOL}.bash; complete -p {TOOL} sessregctl"
        said = subprocess.run(["bash", "--norc", "-c", script], text=True, capture_output=True,
                              timeout=60)
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        first, second = said.stdout.splitlines()
        self.assertEqual(first.removesuffix(TOOL), second.removesuffix("sessregctl"))

    def test_several_ids_are_listed_with_who_it_is(self):
        listed = self.complete("show", "", kind="63")
        self.assertEqual(len(listed), 9)
        for session in sessions():
            self.assertIn(f"{session[0]}  ({session[2]}, {session[4]}, {session[5]})", listed)
        self.assertEqual(set(self.complete("show", "")), {session[0] for session in sessions()})

    def test_a_value_behind_an_equals_sign(self):
        self.assertEqual(self.complete("list", "--user", "=", "an"), ["anna"])
        self.assertEqual(set(self.complete("list", "--state", "=")), STATES)

    def test_several_states(self):
        self.assertEqual(self.complete("list", "--state", "active,par"), ["active,parked"])


@unittest.skipUnless(shutil.which("zsh"), "no zsh here")
class Zsh(Completions, unittest.TestCase):
    """In one interactive shell on a terminal: what its completion needs, it loads once."""

    # Every word that is offered is told between marks, with its description, and none inserted.
    SETUP = r"""
        unset zle_bracketed_paste
        PS1= LISTMAX=10000
        fpath=({functions} $fpath)
        autoload -Uz compinit && compinit -u -D
        zstyle ":completion:*" list-prompt ""
        compadd() {{
          local -a hits given; given=("$@"); builtin compadd -O hits "$@"
          local hit; for hit in $hits; do print -r -- "<$hit>" >>{told}; done
          local n=${{given[(I)-d]}}
          (( n )) && print -rl -- "{{${{(P)^given[n+1]}}}}" >>{told}
          builtin compadd "$@"
        }}
        offer() {{ zle complete-word; zle kill-whole-line; print >{done} }}
        zle -N offer
        bindkey "^I" offer
        print >{done}
    """

    @classmethod
    def setUpClass(cls):
        scene = pathlib.Path(os.environ[INSIDE])
        cls.told, done, setup = scene / "zsh-told", scene / "zsh-done", scene / "zsh-setup"
        functions = scene / "zsh"
        functions.mkdir()
        shutil.copy(BUILD / "tools/completions" / f"_{TOOL}", functions / f"_{TOOL}")
        setup.write_text(cls.SETUP.format(functions=functions, told=cls.told, done=done))
        os.mkfifo(done)
        cls.done = os.open(done, os.O_RDWR)
        cls.addClassCleanup(os.close, cls.done)
        cls.shell, cls.terminal = pty.fork()
        if cls.shell == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], os.environ | {"TERM": "dumb"})
        cls.addClassCleanup(cls.end)
        cls.type(f". {setup}\n")

    @classmethod
    def end(cls):
        os.kill(cls.shell, signal.SIGKILL)
        os.waitpid(cls.shell, 0)
        os.close(cls.terminal)

    @classmethod
    def type(cls, text):
        """Until it is done; what the terminal shows is not looked at."""
        os.write(cls.terminal, text.encode())
        shown = b""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            readable, _, _ = select.select([cls.done, cls.terminal], [], [], 1)
            if cls.terminal in readable:
                shown += os.read(cls.terminal, 65536)
            if cls.done in readable:
                os.read(cls.done, 1)
                return
        raise AssertionError(f"zsh is stuck: {shown}")

    def raw(self, *words):
        self.told.unlink(missing_ok=True)
        self.type(" ".join(["sessreg", *words]) + "\t")
        return self.told.read_text() if self.told.exists() else ""

    def complete(self, *words):
        lines = self.raw(*words).splitlines()
        return [line[1:-1].rstrip("=") for line in lines if line.startswith("<")]

    def test_ids_are_described(self):
        told = self.raw("show", "")
        for session in sessions():
            self.assertIn(f"{session[0]}  -- {session[2]}, {session[4]}, {session[5]}", told)


if __name__ == "__main__":
    if INSIDE in os.environ:
        unittest.main()
    playground = str(TREE / "tools/playground/run")
    os.execv(playground, [playground, "--build", str(BUILD), "--", sys.executable, __file__,
                          *sys.argv[1:]])
