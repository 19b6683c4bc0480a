"""What every script of these tests begins with: a connection, what the test gave it, and how it tells what came.

A script ends well when it comes to its end; an exception that nobody catches fails the test, which shows it.
"""

import json
import os
import sys
from types import SimpleNamespace

from cbapi.live_response_api import LiveResponseError, jobrunner  # noqa: F401 (for scripts)
from cbapi.response import CbResponseAPI, Sensor

given = SimpleNamespace(**json.loads(os.environ["GIVEN"]))


def connect(**more):
    """A connection as the test wants it; what is given here comes first."""
    settings = {"url": given.url, "token": given.token, "ssl_cert_file": given.authority}
    return CbResponseAPI(**{**settings, **more})


def session(sensor=1):
    """A session on a sensor, by a connection of its own."""
    return connect().select(Sensor, sensor).lr_session()


def say(value):
    """Tells the test something; bytes as text, where every byte is a character."""
    print(json.dumps(value, default=lambda content: content.decode("latin-1")), flush=True)


def wait(what):
    """Tells the test something and waits until the test lets the script go on."""
    say(what)
    if not sys.stdin.readline():
        sys.exit("the test let nobody go on")


def failure(call, *arguments, **more):
    """The exception that a call must raise, as the test can look at it."""
    try:
        result = call(*arguments, **more)
    except Exception as error:
        return {
            "class": type(error).__name__,
            "text": str(error),
            "code": getattr(error, "error_code", None),
            "details": getattr(error, "details", None),
        }
    raise AssertionError(f"no exception, but {result!r}")
