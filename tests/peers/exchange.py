"""One request over a connection of its own, byte for byte, and what came back.

No HTTP client: what one would tidy up is what is compared. Every read has a limit that is only reached when something
is broken.
"""

import socket

LIMIT = 20


class Answer:
    """What came back, with nothing interpreted but where its parts end."""

    def __init__(self, status, headers, framing, body):
        self.status = status
        # Names in lower case, values as they came, in the order of the wire.
        self.headers = headers
        self.framing = framing
        self.body = body

    def value(self, name):
        """The values of a header, in one text; `None` without any."""
        values = [value for known, value in self.headers if known == name]
        return ", ".join(values) if values else None


class Connection:
    """A connection with what was read of it and not yet used."""

    def __init__(self, place):
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(LIMIT)
        self.socket.connect(place)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leaves, whatever the other side is doing."""
        self.socket.close()

    def send(self, data):
        """Sends bytes. A server may refuse a request before all of it was sent; its answer says why."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, method):
        """Reads an answer to its end; interim answers before it are passed over."""
        while True:
            status, headers = self.head()
            if status >= 200 or status == 101:
                break
        framing = _framing(method, status, headers)
        return Answer(status, headers, framing, self._body(framing, headers))

    def head(self):
        """Reads status and headers."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        if version not in ("HTTP/1.0", "HTTP/1.1"):
            raise OSError(f"`{lines[0]}` is no status line")
        pairs = [line.partition(":") for line in lines[1:] if line]
        return int(status), [(name.lower(), value.strip()) for name, _, value in pairs]

    def rest(self):
        """Reads what comes until the other side closes; a reset is an end too."""
        data, self.unread = self.unread, b""
        try:
            while more := self.socket.recv(1 << 16):
                data += more
        except ConnectionResetError:
            pass
        return data

    def take(self, count):
        """Reads so many bytes."""
        while len(self.unread) < count:
            self._fill()
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def _until(self, end):
        while end not in self.unread:
            self._fill()
        return self.take(self.unread.index(end) + len(end))

    def _fill(self):
        more = self.socket.recv(1 << 16)
        if not more:
            raise ConnectionResetError(f"the connection was closed after {self.unread[-200:]!r}")
        self.unread += more

    def _body(self, framing, headers):
        if framing == "none":
            return b""
        if framing == "length":
            return self.take(int(dict(headers)["content-length"]))
        if framing == "end":
            return self.rest()
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self.take(size)
            if self.take(2) != b"\r\n":
                raise OSError("a chunk is longer than it says")
        self._until(b"\r\n")
        return body


def _framing(method, status, headers):
    names = [name for name, _ in headers]
    if method == "HEAD" or status in (101, 204, 304):
        return "none"
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        raise OSError(f"where does the body end? {headers}")
    if "content-length" in names:
        return "length"
    return "chunked" if "transfer-encoding" in names else "end"


def request(line, headers=(), body=b"", chunks=None):
    """The bytes of a request: `line` is method and target. `Host`, length and `Connection: close` are added."""
    own = {name.partition(":")[0].lower() for name in headers}
    lines = [f"{line} HTTP/1.1"]
    if "host" not in own:
        lines.append("Host: agent.example:8080")
    lines += headers
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif "content-length" not in own and (body or line.split()[0] not in ("GET", "HEAD")):
        lines.append(f"Content-Length: {len(body)}")
    if "connection" not in own:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body
