"""Serves the repositories of a folder over http, with git's own http-backend, and those below /dumb as plain files.

serve.py FOLDER [--login USER:PASSWORD] [--tls CERTIFICATE KEY]

Prints its port, and ends when stdin does.
"""

import argparse
import base64
import http.server
import os
import ssl
import subprocess
import sys
import threading
from urllib.parse import unquote

arguments = argparse.ArgumentParser()
arguments.add_argument("folder")
arguments.add_argument("--login")
arguments.add_argument("--tls", nargs=2)
options = arguments.parse_args()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, body):
        if options.login and not self.is_allowed():
            self.reply(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        elif self.path.startswith("/dumb/"):
            self.file()
        else:
            self.backend(body)

    def is_allowed(self):
        wanted = base64.b64encode(options.login.encode()).decode()
        return self.headers.get("Authorization") in (f"Basic {wanted}", f"Bearer {wanted}")

    def file(self):
        path = unquote(self.path.partition("?")[0]).removeprefix("/dumb")
        try:
            with open(options.folder + path, "rb") as file:
                self.reply(200, [("Content-Type", "application/octet-stream")], file.read())
        except OSError:
            self.reply(404, [], b"")

    def backend(self, body):
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": options.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": unquote(path),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = [int(value.split()[0]) for name, value in headers if name == "Status"]
        self.reply((status or [200])[0], [pair for pair in headers if pair[0] != "Status"], content)

    def reply(self, status, headers, content):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
