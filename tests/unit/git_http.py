"""A small smart HTTP server for git, for test_checkout.c.

usage: git_http.py ROOT [CERT KEY]

Serves the repositories under ROOT on a free port of 127.0.0.1, which it prints. Paths
under /private/ want the token "sekret-token"; those under /moved/ are redirected to
another name. Ends when its standard input does.
"""
import base64
import http.server
import os
import ssl
import subprocess
import sys
import threading

TOKEN = base64.b64encode(b"x-access-token:sekret-token").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def refuse(self, code, header=None):
        self.send_response(code)
        if header:
            self.send_header(*header)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while True:
            size = int(self.rfile.readline(), 16)
            data += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return data

    def handle_git(self):
        body = self.body()
        path, _, query = self.path.partition("?")
        if path.startswith("/moved/"):
            there = "http://localhost:%d" % self.server.server_address[1]
            return self.refuse(302, ("Location", there + path[len("/moved"):] + "?" + query))
        if path.startswith("/private/") and \
                self.headers.get("Authorization") != "Basic " + TOKEN:
            return self.refuse(401, ("WWW-Authenticate", 'Basic realm="git"'))
        env = dict(os.environ, GIT_PROJECT_ROOT=sys.argv[1], GIT_HTTP_EXPORT_ALL="1",
                   PATH_INFO=path, QUERY_STRING=query, REQUEST_METHOD=self.command,
                   CONTENT_TYPE=self.headers.get("Content-Type", ""),
                   CONTENT_LENGTH=str(len(body)), REMOTE_ADDR="127.0.0.1")
        if "gzip" in self.headers.get("Content-Encoding", ""):
            env["HTTP_CONTENT_ENCODING"] = "gzip"
        out = subprocess.run(["git", "http-backend"], input=body, env=env,
                             stdout=subprocess.PIPE).stdout
        head, _, payload = out.partition(b"\r\n\r\n")
        headers = [h.split(": ", 1) for h in head.decode().split("\r\n") if ": " in h]
        status = [v for k, v in headers if k == "Status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for key, value in headers:
            if key != "Status":
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = handle_git


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients that were killed


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
