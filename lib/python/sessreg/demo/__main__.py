"""python3 -m sessreg.demo: a Django site with three seats on loopback, and a sessregd of its own. Any user may run it.

This process has the folder and the site; a child of it serves. So no request is under way when the daemon is
stopped and the folder removed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import sessreg
from sessreg.embedded import Site

from . import ADDRESSES, ADMIN, KEYS, LIMIT, PASSWORD, USERS

WHAT_TO_TRY = f"""\
A web site for {LIMIT} at a time, at five addresses of this host:

    {{first}}
    {{second}}
    and so on, up to {ADDRESSES[-1]}. Each has cookies of its own, so one browser
    can be five. Other browsers and private windows will do as well.

Users are {", ".join(USERS)}, and {ADMIN}, an administrator. Their password is
{PASSWORD}.

  1. Log in at {LIMIT} addresses, also as the same user. All seats are taken.
  2. Log in at another one: you are told that it is full. If that was as a user
     who is in already: end that session and continue.
  3. Look at "Your sessions", and end one. Its page says so when it is loaded.
  4. Leave a page alone for half a minute: it warns. After three minutes its
     seat goes to whoever needs one, and is back when there is room.
  5. Log in as {ADMIN}, who is not counted, for a table of all sessions:
     {{admin}}
     End one with a reason, which its user is told.

Ctrl-C ends it, and removes all that it made.
"""


def fail(why: str) -> NoReturn:
    print(f"sessreg.demo: {why}", file=sys.stderr)
    sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m sessreg.demo", description=(
        f"A Django site with {LIMIT} seats on loopback, to try in a browser. It has a sessregd and a temporary folder "
        "of its own, needs no root, and says what to try."))
    parser.add_argument("--port", type=_port, default=0, help="a free one unless it is given")
    port = parser.parse_args().port
    try:
        import django  # noqa: F401
    except ImportError:
        fail("there is no Django: install the package python3-django")
    with _signals_stop_it(), _folder() as folder:
        try:
            with Site(folder / "seats", **KEYS):
                _serve_in_child(folder, port)
        except sessreg.Error as error:
            fail(str(error))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


class _Stopped(BaseException):
    pass


@contextlib.contextmanager
def _signals_stop_it() -> Iterator[None]:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: Any) -> None:
        for each in signals:  # once is enough, and nothing shall disturb the cleaning
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped
    for each in signals:
        signal.signal(each, stop)
    with contextlib.suppress(_Stopped):
        yield


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    made = tempfile.mkdtemp(prefix="sessreg-demo-")
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


def _serve_in_child(folder: Path, port: int) -> None:
    """Until a signal, or the child's end."""
    child = os.fork()
    if child == 0:
        _be_child(folder, port)
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    sys.exit(os.waitstatus_to_exitcode(status))


def _be_child(folder: Path, port: int) -> NoReturn:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
        for each in signal.SIGTERM, signal.SIGHUP:
            signal.signal(each, signal.SIG_DFL)
        from . import project

        project.serve(folder, port, _say)
    except SystemExit as end:
        print(f"sessreg.demo: {end}", file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # the parent cleans up


def _say(port: int) -> None:
    url = f"http://{{}}:{port}/{{}}".format
    print(WHAT_TO_TRY.format(first=url(ADDRESSES[0], ""), second=url(ADDRESSES[1], ""),
                             admin=url(ADDRESSES[-1], "admin/sessreg/usersession/")), flush=True)


if __name__ == "__main__":
    main()
