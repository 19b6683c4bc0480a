"""Fetches a file of a host by the real cbapi, as a user's script does, and prints what that took as JSON.

Its one argument is JSON: `url`, `token`, `authority` (a file), `sensor` (its id), `path`, `bytes` (how many it has).
"""

import json
import sys
import time
from types import SimpleNamespace

from cbapi.response import CbResponseAPI, Sensor

PIECE_BYTES = 1 << 20


def main():
    given = SimpleNamespace(**json.loads(sys.argv[1]))
    api = CbResponseAPI(url=given.url, token=given.token, ssl_cert_file=given.authority)
    with api.select(Sensor, given.sensor).lr_session() as session:
        begun, cpu = time.monotonic(), time.process_time()
        content, came = session.get_raw_file(given.path, timeout=600), 0
        fetched = time.monotonic()
        while piece := content.read(PIECE_BYTES):
            came += len(piece)
        done = time.monotonic()
    if came != given.bytes:
        raise ValueError(f"{came} bytes came")
    figures = {"to_server": fetched - begun, "content": done - fetched, "cpu": time.process_time() - cpu}
    print(json.dumps(figures))


main()
