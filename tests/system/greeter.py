#!/usr/bin/python3
"""A greeter of LightDM that logs in by itself, once, and unlocks the screen whenever it is locked;
started by LightDM for lightdm_test.py.

usage: greeter.py USER PASSWORD FILE
Appends to FILE what it is told: "prompt TEXT", "info TEXT", "error TEXT", "in" or "out".
"""

import os
import sys

import gi

gi.require_version("LightDM", "1")
from gi.repository import GLib, LightDM  # pylint: disable=wrong-import-position


def main(user, password, file):
    def tell(line):
        with open(file, "a") as said:
            said.write(line + "\n")

    def on_prompt(greeter, text, _):
        tell(f"prompt {text}")
        greeter.respond(password)

    def on_message(_, text, kind):
        tell(f"{'info' if kind == LightDM.MessageType.INFO else 'error'} {text}")

    def on_complete(greeter):
        is_in = greeter.get_is_authenticated()
        tell("in" if is_in else "out")
        if is_in:
            greeter.start_session_sync("scene")

    greeter = LightDM.Greeter()
    greeter.connect("show-prompt", on_prompt)
    greeter.connect("show-message", on_message)
    greeter.connect("authentication-complete", on_complete)
    greeter.connect_to_daemon_sync()
    if greeter.get_lock_hint() or not os.path.exists(file):  # else that session has ended
        greeter.authenticate(user)
    GLib.MainLoop().run()


main(*sys.argv[1:])
