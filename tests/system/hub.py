#!/usr/bin/env python3
"""A server that opens and closes PAM sessions for many users, as JupyterHub does by pamela: each
opening and each closing has a handle of its own, and a process of the user's in between.

usage: hub.py SERVICE
Reads "open USER PASSWORD" and "close USER", and answers each with a line.
"""

import ctypes
import ctypes.util
import pwd
import subprocess
import sys

PAM = ctypes.CDLL(ctypes.util.find_library("pam") or "libpam.so.0")
C = ctypes.CDLL(None)
C.calloc.restype = C.strdup.restype = ctypes.c_void_p
C.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)

PROMPT_ECHO_OFF, ERROR_MSG = 1, 3


class Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]


Conversation = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.POINTER(Response)), ctypes.c_void_p)


class Talk(ctypes.Structure):
    _fields_ = [("function", Conversation), ("data", ctypes.c_void_p)]


PAM.pam_strerror.restype = ctypes.c_char_p


class Refused(Exception):
    pass


def transact(service, user, password, steps):
    """These functions, with one handle."""
    said = []

    def converse(count, messages, responses, _data):
        block = C.calloc(count, ctypes.sizeof(Response))
        responses[0] = ctypes.cast(block, ctypes.POINTER(Response))
        for i in range(count):
            if messages[i].contents.style == PROMPT_ECHO_OFF:
                responses[0][i].text = C.strdup(password.encode())
            elif messages[i].contents.style == ERROR_MSG:
                said.append(messages[i].contents.text.decode())
        return 0
    function = Conversation(converse)
    talk = Talk(function, None)
    handle = ctypes.c_void_p()
    if PAM.pam_start(service.encode(), user.encode(), ctypes.byref(talk), ctypes.byref(handle)):
        raise Refused("pam_start")
    status = 0
    for step in steps:
        status = getattr(PAM, step)(handle, 0)
        if status:
            said.append(PAM.pam_strerror(handle, status).decode())
            break
    PAM.pam_end(handle, status)
    if status:
        raise Refused(": ".join(said))


def main(service):
    working = {}
    for line in sys.stdin:
        word, user, *password = line.rstrip("\n").split(" ", 2)
        try:
            if word == "open":
                transact(service, user, password[0],
                         ("pam_authenticate", "pam_acct_mgmt", "pam_open_session"))
                account = pwd.getpwnam(user)
                working.setdefault(user, []).append(subprocess.Popen(
                    ["sleep", "1000"], user=account.pw_uid, group=account.pw_gid, extra_groups=[],
                    start_new_session=True))
                print(f"open {working[user][-1].pid}", flush=True)
            else:
                process = working[user].pop()
                process.kill()
                process.wait()
                transact(service, user, "", ("pam_close_session",))
                print("closed", flush=True)
        except Refused as refused:
            print(f"refused: {refused}", flush=True)


main(*sys.argv[1:])
