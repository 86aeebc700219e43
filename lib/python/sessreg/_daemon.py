"""Starts and stops a sessregd of one's own. Whoever calls has a lock against others who do."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from . import errors
from ._socket import Address

_START_SECONDS = 10.0
_POLL_SECONDS = 0.02
_MOST_LOG_BYTES = 1 << 20
_SBIN = "/usr/sbin:/usr/local/sbin:/usr/libexec"
# Of a service manager, to which the daemon must not speak for the application.
_NOT_INHERITED = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID",
                  "WATCHDOG_USEC", "JOURNAL_STREAM", "SESSREG_SOCKET")
# It is not a child of ours, which nobody would wait for, and in a session of its own, where no Ctrl-C
# finds it.
_COMMAND = '"$1" --foreground --site "$2" --conf "$3" --socket "$4" >>"$5" 2>&1 </dev/null & echo $!'


class Daemon:
    """program: None to look for it."""

    def __init__(self, program: str | os.PathLike[str] | None, site: str, conf: Path, socket: Path,
                 log: Path) -> None:
        self._program = program
        self._arguments = [site, str(conf), str(socket), str(log)]
        self._socket = socket
        self._log = log

    def start(self) -> None:
        """Unless one listens already. Raises Unavailable, with what it said."""
        if self._is_listening():
            return
        program = self._find()
        if self._log.exists() and self._log.stat().st_size > _MOST_LOG_BYTES:
            self._log.unlink()
        log_began = self._log.stat().st_size if self._log.exists() else 0
        started = subprocess.run(
            ["/bin/sh", "-c", _COMMAND, "sh", program, *self._arguments], stdout=subprocess.PIPE, text=True,
            cwd="/", start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in _NOT_INHERITED})
        try:
            process = os.pidfd_open(int(started.stdout))
        except (ProcessLookupError, ValueError):
            raise self._did_not_start(program, log_began) from None
        try:
            until = time.monotonic() + _START_SECONDS
            while not self._is_listening():
                if _has_ended(process, _POLL_SECONDS):
                    raise self._did_not_start(program, log_began)
                if time.monotonic() >= until:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    raise self._did_not_start(program, log_began)
        finally:
            os.close(process)

    def stop(self) -> None:
        """Whoever started it."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(self._socket))
            pid, uid, _ = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid != os.geteuid() or pid <= 0:
                return
            process = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(process, signal.SIGTERM)
                _has_ended(process, _START_SECONDS)
            finally:
                os.close(process)

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connected:
            connected.setblocking(False)
            try:
                connected.connect(str(self._socket))
                return True
            except BlockingIOError:  # it has much to do
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError as error:
                raise Address(self._socket, ()).failed(error) from None

    def _did_not_start(self, program: str, log_began: int) -> errors.Unavailable:
        with open(self._log, errors="replace") as log:
            log.seek(log_began)
            said = log.read(4096).strip().splitlines()
        return errors.Unavailable(f"{program} does not start: {said[-1] if said else 'it says nothing'}; "
                                  f"see {self._log}")

    def _find(self) -> str:
        chosen = self._program or os.environ.get("SESSREG_DAEMON")
        if chosen:
            if os.access(chosen, os.X_OK) and os.path.isfile(chosen):
                return os.path.abspath(chosen)
            raise errors.Unavailable(f"{os.fspath(chosen)} is no program: pass daemon=, or set SESSREG_DAEMON, "
                                     "to the path of sessregd")
        found = shutil.which("sessregd", path=os.environ.get("PATH", os.defpath) + ":" + _SBIN)
        if found is None:
            raise errors.Unavailable("there is no sessregd: install the package sessreg, or set SESSREG_DAEMON "
                                     "to its path")
        return found


def _has_ended(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
