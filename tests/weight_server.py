"""A web server in this process, for weights by URL."""

import http.server
import threading


class Server:
    """Answers by path: bytes, or a function of the handler; notes what it was asked.

    `pages` are sent with their length.
    """

    def __init__(self):
        self.pages, self.asked, outer = {}, [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, self.headers.get("Authorization")))
                page = outer.pages.get(self.path.partition("?")[0])
                if page is None:
                    self.send_error(404)
                elif callable(page):
                    page(self)
                else:
                    answer(self, page)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.place}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()


def answer(handler, content, length=None, kind="application/octet-stream"):
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)
