"""Runs jobs on hosts by the job API of the real cbapi, as a user's script does, and prints what that took as JSON.

Its one argument is JSON: `url`, `token`, `authority` (a file), `sensors` (ids), `jobs` (how many), `names` (what every
listing must hold). Nothing of cbapi is changed; only the time that passes in `time.sleep` is added up.
"""

import json
import sys
import threading
import time
from types import SimpleNamespace


class Slept:
    """Stands for `time.sleep` and knows how long everybody slept."""

    def __init__(self):
        self.seconds = 0.0
        self._sleep = time.sleep
        self._lock = threading.Lock()

    def __call__(self, seconds):
        begun = time.monotonic()
        self._sleep(seconds)
        with self._lock:
            self.seconds += time.monotonic() - begun


def main():
    given = SimpleNamespace(**json.loads(sys.argv[1]))
    time.sleep = slept = Slept()
    from cbapi.response import CbResponseAPI

    def job(session):
        begun = time.monotonic()
        names = [entry["filename"] for entry in session.list_directory("/srv/work/")]
        if names != given.names:
            raise ValueError(f"listed {names}")
        return time.monotonic() - begun

    api = CbResponseAPI(url=given.url, token=given.token, ssl_cert_file=given.authority)
    begun, cpu, before = time.monotonic(), time.process_time(), slept.seconds
    sensors = [given.sensors[number % len(given.sensors)] for number in range(given.jobs)]
    futures = [api.live_response.submit_job(job, sensor) for sensor in sensors]
    bodies = [future.result(timeout=300) for future in futures]
    figures = {
        "wall": time.monotonic() - begun,
        "cpu": time.process_time() - cpu,
        "slept": slept.seconds - before,
        "bodies": bodies,
    }
    print(json.dumps(figures))


main()
