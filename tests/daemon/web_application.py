#!/usr/bin/env python3
"""A web application in small, with workers as gunicorn has them: each process serves some requests,
one at a time, and is then replaced by a new one. HTTP is left out.

usage: web_application.py SOCKET DAEMON-SOCKET UID WORKERS REQUESTS-A-WORKER

Listens on SOCKET. A request is one JSON line on a connection of its own: the method of sessregd that
it leads to, and the parameters. So is the answer: what the daemon said, or `gone`; whether it was
asked twice; and how many requests the worker has served. To end it, end its process group.
"""

import json
import os
import socket
import sys
import time
import traceback

from varlink import CallFailed, Client

# A call that got no answer is made once more, when the daemon has had the time to be restarted.
RETRY_AFTER_S = 0.1


def ask_daemon(path, request):
    for attempt in range(2):
        try:
            with Client.connect(path) as client:
                return {"answer": client.call(request["method"], **request["parameters"]),
                        "again": attempt > 0}
        except CallFailed as failed:
            return {"error": failed.name, "parameters": failed.parameters, "again": attempt > 0}
        except (OSError, EOFError):
            time.sleep(RETRY_AFTER_S)
    return {"gone": True}


def serve(listening, daemon_path, requests):
    for number in range(1, requests + 1):
        connected, _ = listening.accept()
        with connected, connected.makefile("rw") as stream:
            answer = ask_daemon(daemon_path, json.loads(stream.readline()))
            stream.write(json.dumps(answer | {"served": number}) + "\n")


def start_worker(*arguments):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            serve(*arguments)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def main():
    path, daemon_path, uid, count, requests = sys.argv[1:]
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(128)
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    arguments = (listening, daemon_path, int(requests))
    for _ in range(int(count)):
        start_worker(*arguments)
    while True:
        _, status = os.wait()
        if status != 0:
            sys.exit("a worker failed")
        start_worker(*arguments)


if __name__ == "__main__":
    main()
