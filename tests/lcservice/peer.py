"""A service on the real lcservice, for the tests: it writes down every call that it gets, and behaves as the call's data say.

It is given its settings as one argument in JSON:

    port, secret, records      where it listens, what calls are signed with (null: with nothing), where it writes calls down
    name                       its name, which the interactive form puts into rules and tokens
    callbacks                  etypes that it handles; all 28 when absent
    subscriptions              names of detections it wants to hear
    params                     the definitions of its request's parameters
    resources                  what it offers by name: {name: {category, content}}
    interactive                whether it is an InteractiveService, whose callback is `on_reply`

`data.behaviour` of a call, or else the `cat` of a detection, chooses what becomes of it:

    ok (also anything else)    True
    answer                     what stands in `data.answer`
    <one below>_first          that for the first call with its mid, then True; it counts over restarts
    retry                      None (deliver again)
    refuse                     False
    fail                       an error with a text, without retry
    raise                      an exception
    job                        True, with a job that begins and ends
    hex_dump                   True, with an attachment that the real one cannot write
    slow                       True once the file `data.gate` is gone
    status                     the HTTP status `data.status` (503 if it is absent) instead of an answer
    html                       a page
    no_success                 an object without `success`
    huge                       an answer of `data.bytes` bytes
    die                        the process ends in the middle
    task                       True, with the token for `on_reply` in the answer's data
    ask                        a job with that token for the sensor of the call, at the server `data.server`, with the call's jwt; its answer

A record is a line of JSON: {"began": number, "at", "pid", "headers", and the call's fields} when a call comes, and
{"ended": number, "answer"} when it is answered; one without the other was cut off.
"""

import itertools
import json
import os
import sys
import threading
import time
import urllib.request

import cherrypy
from lcservice import InteractiveService, Service
from lcservice.jobs import HexDump, Job, JsonData, Table, YamlData
from lcservice.servers.cherrypy import ServeCherryPy

given = json.loads(sys.argv[1])
# How often it looks whether a gate is gone.
LOOK_SECONDS = 0.01
# The name of the method that handles an etype.
METHODS = {
    "org_install": "onOrgInstalled",
    "org_uninstall": "onOrgUninstalled",
    "detection": "onDetection",
    "request": "onRequest",
    "deployment_event": "onDeploymentEvent",
    "log_event": "onLogEvent",
    "new_sensor": "onNewSensor",
    "service_error": "onServiceError",
}
for scope, word in (("org", "PerOrg"), ("once", "Globally"), ("sensor", "PerSensor")):
    for period, span in (("1h", "1Hour"), ("3h", "3Hour"), ("12h", "12Hour"), ("24h", "24Hour"), ("7d", "7Day"), ("30d", "30Day")):
        METHODS[f"{scope}_per_{period}"] = f"every{span}{word}"


class Records:
    """What came, in a file that outlives the process."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lock = threading.Lock()
        with open(path, encoding="utf-8") as file:
            old = [json.loads(line) for line in file if line.endswith("\n")]
        began = [record for record in old if "began" in record]
        self.numbers = itertools.count(len(began))
        self.mids = [record.get("mid") for record in began]

    def write(self, record):
        """One line, whole or not at all."""
        os.write(self.file, (json.dumps(record, default=repr) + "\n").encode())

    def begin(self, call, headers):
        """Writes a call down; its number, and how often its mid came before."""
        with self.lock:
            number = next(self.numbers)
            before = self.mids.count(call.get("mid"))
            self.mids.append(call.get("mid"))
            self.write({**call, "began": number, "at": time.time(), "pid": os.getpid(), "headers": headers})
        return number, before


def behaviour(data):
    """The word that chooses."""
    if not isinstance(data, dict):
        return "ok"
    return data.get("behaviour") or data.get("cat") or "ok"


def worked():
    """A job with one attachment of each kind that the real one can write."""
    job = Job()
    job.setCause("as told")
    job.addSensor("2c8a4b0e-0000-4000-8000-000000000001")
    attachments = [Table("a table", ["a", "b"], [[1, "x"]]), YamlData("some YAML", {"a": 1}), JsonData("some JSON", {"a": [1]})]
    job.narrate("done", attachments=attachments, isImportant=True)
    job.close()
    return job


class Recording:
    """Writes calls down and behaves; goes before a class of the real one."""

    def onStartup(self):
        self.records = Records(given["records"])
        for name in given.get("subscriptions", []):
            self.subscribeToDetect(name)
        self.setRequestParameters(given.get("params", {}))
        for name, resource in given.get("resources", {}).items():
            self.publishResource(name, resource["category"], resource["content"].encode())

    def _processEvent(self, call):
        # That is the real one's to refuse.
        if not isinstance(call, dict):
            return super()._processEvent(call)
        headers = {name.lower(): value for name, value in cherrypy.request.headers.items()}
        number, before = self.records.begin(call, headers)
        data, word = call.get("data"), behaviour(call.get("data"))
        if word.endswith("_first"):
            word = word.removesuffix("_first") if before == 0 else "ok"
        # What no callback can bring about.
        if word == "status":
            raise cherrypy.HTTPError(data.get("status", 503))
        if word == "die":
            os._exit(9)
        self.under_way.word, self.under_way.call = word, call
        answer = super()._processEvent(call)
        self.records.write({"ended": number, "answer": answer})
        if word == "html":
            return "<!DOCTYPE html><p>An answer for people</p>"
        return answer

    def behave(self, _lc, _oid, request):
        """What every callback does."""
        word, data = self.under_way.word, request.data
        if word == "answer":
            return data["answer"]
        if word == "retry":
            return None
        if word == "refuse":
            return False
        if word == "fail":
            return self.response(isSuccess=False, error="it failed, as told")
        if word == "raise":
            raise RuntimeError("as told")
        if word == "job":
            return self.response(jobs=[worked()])
        if word == "hex_dump":
            job = worked()
            job.narrate("more", attachments=[HexDump("some bytes", b"\x00\x01")])
            return self.response(jobs=[job])
        if word == "no_success":
            return {"data": {}}
        if word == "huge":
            return self.response(data={"filling": "x" * data["bytes"]})
        if word == "slow":
            while os.path.exists(data["gate"]):
                time.sleep(LOOK_SECONDS)
        if word == "task":
            return self.response(data={"investigation_id": self.token(data)})
        if word == "ask":
            return self.response(data=self.ask(data))
        return True

    def token(self, data):
        """What brings the reply to a task to `on_reply`, as the real one makes it."""
        root, key = self._rootInvestigationId, self._getCallbackKey("on_reply")
        return f"{root}/{key}//{data.get('context', '')}"

    def ask(self, data):
        """Tasks the sensor over Tripline's own API, with the token of the call."""
        steps = [{"create_process": {"argv": ["/bin/echo", "found"]}}]
        body = {"host": data["routing"]["sid"], "job": {"name": "look", "steps": steps}, "investigation_id": self.token(data)}
        headers = {"authorization": f"Bearer {self.under_way.call['jwt']}", "content-type": "application/json"}
        request = urllib.request.Request(data["server"] + "/v1/jobs", json.dumps(body).encode(), headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as answer:
            return json.load(answer)


Recording.under_way = threading.local()


class Plain(Recording, Service):
    """The usual form."""


class Interactive(Recording, InteractiveService):
    """The form that tasks sensors. Its rules would go to LimaCharlie's own API, which is not there."""

    def _applyInteractiveRule(self, lc):
        self.records.write({"rule": self._rootInvestigationId, "applied": True})

    def _removeInteractiveRule(self, lc):
        self.records.write({"rule": self._rootInvestigationId, "applied": False})

    def on_reply(self, _lc, oid, event, job, context):
        """The reply to a task."""
        self.records.write({"reply": event, "oid": oid, "job": job and job.getId(), "context": context})
        return self.response(data={"context": context})


def main():
    """Serves until it is ended."""
    form = Interactive if given.get("interactive") else Plain
    for etype in given.get("callbacks", METHODS):
        if etype in METHODS:
            setattr(form, METHODS[etype], Recording.behave)
    service = form(given.get("name", "peer"), given["secret"])
    ServeCherryPy(service, interface="127.0.0.1", port=given["port"])


main()
