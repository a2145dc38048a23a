"""Reads an event stream as a user of `requests` would: line by line, one JSON text each, written as it comes.

Prints the number of events and the milliseconds from the request to the end of the stream; the start of the
interpreter and the import of `requests` are not in them.
"""

import json
import sys
import time

import requests

url, body = sys.argv[1:]
out = open("/dev/null", "w")
started = time.perf_counter()
events = 0
headers = {"content-type": "application/json", "accept": "text/event-stream"}
with requests.post(url, data=body, headers=headers, stream=True) as response:
    response.raise_for_status()
    for line in response.iter_lines():
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            out.write(event if isinstance(event, str) else json.dumps(event) + "\n")
            out.flush()
            events += 1
milliseconds = (time.perf_counter() - started) * 1e3
print(json.dumps({"events": events, "milliseconds": milliseconds}))
