#!/usr/bin/env python3
"""A login service: opens PAM sessions, each in a process of its own, and holds them.

Reads one JSON order a line, answers each with one JSON line. Every session's process (its leader)
leads a terminal session of its own, as sshd's children do.

  {"do": "open", "user": …, "confdir": …}   further keys: see open_session()
  {"do": "tell", "pid": …, "say": …}        to the leader with that pid: see hold()
  {"do": "connect", "path": …, "uid": …, "count": …}
      connections made by a process of that user, passed on the socket that the argument names
"""

import ctypes
import fcntl
import json
import os
import pty
import signal
import socket
import sys
import termios
import time

PAM_TTY, PAM_RHOST = 3, 4


class _Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class _Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]


_CONVERSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int,
                             ctypes.POINTER(ctypes.POINTER(_Message)),
                             ctypes.POINTER(ctypes.POINTER(_Response)), ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = [("converse", _CONVERSE), ("data", ctypes.c_void_p)]


_libc = ctypes.CDLL("libc.so.6")
_libc.calloc.restype = ctypes.c_void_p
_libpam = ctypes.CDLL("libpam.so.0")
_libpam.pam_getenv.restype = ctypes.c_char_p
_handle = ctypes.c_void_p
for _name in ("pam_acct_mgmt", "pam_open_session", "pam_close_session", "pam_end"):
    getattr(_libpam, _name).argtypes = [_handle, ctypes.c_int]
_libpam.pam_set_item.argtypes = [_handle, ctypes.c_int, ctypes.c_char_p]
_libpam.pam_getenv.argtypes = [_handle, ctypes.c_char_p]


class Transaction:
    def __init__(self, order):
        self.texts = []

        def converse(count, messages, responses, _):
            self.texts += [messages[i].contents.text.decode() for i in range(count)]
            responses[0] = ctypes.cast(_libc.calloc(count, ctypes.sizeof(_Response)),
                                       ctypes.POINTER(_Response))
            return 0

        self._conversation = _Conversation(_CONVERSE(converse), None)
        self._pam = _handle()
        code = _libpam.pam_start_confdir(
            order.get("service", "session-test").encode(), order["user"].encode(),
            ctypes.byref(self._conversation), order["confdir"].encode(), ctypes.byref(self._pam))
        if code != 0:
            raise RuntimeError(f"pam_start_confdir: {code}")
        _libpam.pam_set_item(self._pam, PAM_RHOST, order.get("host", "192.0.2.1").encode())

    def open(self):
        code = _libpam.pam_acct_mgmt(self._pam, 0)
        return code if code != 0 else _libpam.pam_open_session(self._pam, 0)

    def environment(self, name):
        value = _libpam.pam_getenv(self._pam, name.encode())
        return value.decode() if value is not None else None

    def close(self):
        code = _libpam.pam_close_session(self._pam, 0)
        _libpam.pam_end(self._pam, code)
        return code


def _ignore(names):
    for name in names:
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def _start_child(order):
    """A process of the session that outlives its leader. Returns its pid, and the master of its
    terminal if it has one (it then is its own terminal session, as a login's shell is)."""
    master = slave = None
    if order.get("tty"):
        master, slave = pty.openpty()
        if order.get("uid"):
            os.fchown(slave, order["uid"], -1)
    # Nobody may end it before it ignores what it is to ignore.
    ready, started = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready)
        _ignore(order.get("child_ignores", []))
        if master is not None:
            os.close(master)
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.dup2(slave, 0)
        if order.get("uid"):
            os.setgid(order["uid"])
            os.setuid(order["uid"])
        os.write(started, b"1")
        os.close(started)
        while master is not None and os.read(0, 1024):
            pass
        while True:
            time.sleep(60)
    os.close(started)
    os.read(ready, 1)
    os.close(ready)
    if slave is not None:
        os.close(slave)
    return child, master


def open_session(order, channel):
    """In the leader. Keys of the order: service, host; ignores: signals that it ignores; child:
    start one, child_ignores, tty, uid: of that child; dies: by SIGKILL at once, behind the open;
    reports nothing then but its id; becomes: the uid that the leader has from then on."""
    os.setsid()
    transaction = Transaction(order)
    code = transaction.open()
    answer = {"code": code, "texts": transaction.texts, "pid": os.getpid(), "child": None,
              "id": transaction.environment("SESSREG_ID"),
              "token": transaction.environment("SESSREG_TOKEN")}
    if order.get("dies"):
        channel.send(json.dumps(answer).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    _ignore(order.get("ignores", []))
    master = None
    if code == 0 and order.get("child"):
        answer["child"], master = _start_child(order)
    if order.get("becomes"):
        os.setgid(order["becomes"])
        os.setuid(order["becomes"])
    channel.send(json.dumps(answer).encode())
    if code != 0:
        os._exit(1)
    hold(transaction, master, channel)


def hold(transaction, master, channel):
    """Orders to a leader: close (the session, and exit), exit (without closing), type (on the
    terminal)."""
    while True:
        order = channel.recv(100)
        answer = {"code": 0}
        if order == b"close":
            answer["code"] = transaction.close()
        elif order == b"type":
            os.write(master, b"x\n")
        elif order == b"":
            signal.pause()  # the service has gone; the session goes on
        if order != b"exit":
            channel.send(json.dumps(answer).encode())
        if order in (b"exit", b"close"):
            os._exit(0)


def connect(order):
    """In a process of its own."""
    os.setgroups([])
    os.setgid(order["uid"])
    os.setuid(order["uid"])
    made = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(order["count"])]
    for each in made:
        each.connect(order["path"])
    most = 200  # the kernel passes 253 at once
    with socket.socket(fileno=int(sys.argv[1])) as passing:
        for first in range(0, len(made), most):
            socket.send_fds(passing, [b"x"], [s.fileno() for s in made[first:first + most]])


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    channels = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "open":
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            leader = os.fork()
            if leader == 0:
                ours.close()
                for other in channels.values():
                    other.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                try:
                    open_session(order, its)
                finally:
                    os._exit(1)
            its.close()
            channels[leader] = ours
            answer = ours.recv(10000)
        elif order["do"] == "connect":
            if os.fork() == 0:
                try:
                    connect(order)
                finally:
                    os._exit(0)
            answer = b"{}"
        else:
            channels[order["pid"]].send(order["say"].encode())
            answer = b"{}" if order["say"] == "exit" else channels[order["pid"]].recv(10000)
        sys.stdout.write(answer.decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
