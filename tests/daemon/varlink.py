"""A Varlink client: JSON with a NUL behind each message, on a unix stream socket."""

import json
import socket

INTERFACE = "org.sessreg.Sessions."


class CallFailed(Exception):
    def __init__(self, answer):
        super().__init__(answer["error"])
        self.name = answer["error"].removeprefix(INTERFACE)
        self.parameters = answer.get("parameters", {})


class Client:
    def __init__(self, connected, timeout=20):
        self.socket = connected
        self.socket.settimeout(timeout)
        self._read = b""

    @classmethod
    def connect(cls, path):
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.connect(str(path))
        return cls(connected)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, method, more=False, **parameters):
        name = method if "." in method else INTERFACE + method
        call = {"method": name, "parameters": parameters} | ({"more": True} if more else {})
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        """The next answer, whole."""
        while b"\0" not in self._read:
            got = self.socket.recv(1 << 16)
            if not got:
                raise EOFError("the daemon closed the connection")
            self._read += got
        message, self._read = self._read.split(b"\0", 1)
        answer = json.loads(message)
        if "error" in answer:
            raise CallFailed(answer)
        return answer

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.receive()["parameters"]
