"""An ssh ProxyCommand: relays stdin and stdout to a TCP port, and keeps back what the server says
for as long as a file exists.

usage: stalling_relay.py PORT STALL_FILE
"""

import os
import select
import socket
import sys


def main():
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
    while True:
        stalled = os.path.exists(sys.argv[2])
        readable, _, _ = select.select([0] if stalled else [0, server], [], [], 0.05)
        if 0 in readable:
            data = os.read(0, 65536)
            if not data:
                return
            server.sendall(data)
        if server in readable and not os.path.exists(sys.argv[2]):
            data = server.recv(65536)
            if not data:
                return
            os.write(1, data)


main()
