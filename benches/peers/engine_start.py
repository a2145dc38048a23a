"""What a container costs without us: create, start, first healthy `/ping`, straight through the Docker engine's API.

Prints the milliseconds of each start as a JSON list. Only the standard library; the engine is the one that DOCKER_HOST
names, or the default socket.
"""

import http.client
import json
import os
import socket
import sys
import time
import urllib.parse

READY_LIMIT = 60.0
API = "/v1.41"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def engine_socket():
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        sys.exit(f"only engines on a Unix socket are measured, not {host}")
    return host.removeprefix("unix://")


def call(method, path, body=None):
    connection = UnixConnection(engine_socket())
    text = None if body is None else json.dumps(body)
    connection.request(method, API + path, text, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status >= 400:
        sys.exit(f"{method} {path}: {response.status} {answer.decode()}")
    return json.loads(answer) if answer.strip() else None


def newest_image(label):
    filters = urllib.parse.quote(json.dumps({"label": [label]}))
    images = call("GET", f"/images/json?filters={filters}")
    if not images:
        sys.exit(f"no image has the label {label}")
    return max(images, key=lambda image: image["Created"])["Id"]


def wait_until_ready(port, begun):
    while time.perf_counter() - begun < READY_LIMIT:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/ping")
            ready = connection.getresponse().status == 200
            connection.close()
            if ready:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.002)
    sys.exit("the container never answered")


def start_once(image):
    environment = ["DOCKER_CONTAINER=1", "AGENTCORE_LISTEN=0.0.0.0:8080"]
    ports = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    begun = time.perf_counter()
    container = call(
        "POST",
        "/containers/create",
        {
            "Image": image,
            "Env": environment,
            "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {"PortBindings": ports, "Memory": 512 << 20},
        },
    )["Id"]
    try:
        call("POST", f"/containers/{container}/start")
        facts = call("GET", f"/containers/{container}/json")
        port = int(facts["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"])
        wait_until_ready(port, begun)
        return (time.perf_counter() - begun) * 1e3
    finally:
        call("DELETE", f"/containers/{container}?force=1&v=1")


def main():
    label, count = sys.argv[1], int(sys.argv[2])
    image = newest_image(label)
    print(json.dumps([start_once(image) for _ in range(count)]))


main()
