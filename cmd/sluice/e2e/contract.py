"""Holds every answer of Sluice's own API that a test gets through requests against the server's OpenAPI document: a field without a schema,
a missing one or an undocumented media type fails the test that got it."""

import json
import re
import threading

import jsonschema
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

OURS = ("/api/2.0/sluice/", "/api/2.0/serving-endpoints", "/api/2.0/endpoints", "/ready")
LARGEST = 64 << 10  # bytes of an answer that is looked at in passing: validation in Python takes its time


class Document:
    """An OpenAPI document that answers can be checked against; `met` are the (method, path) that a success was checked of."""

    def __init__(self, document):
        OpenAPIV31SpecValidator(document).validate()
        self.document, self.met, self._validators = document, set(), {}
        # fixed paths before those with a parameter in the same place
        self._paths = sorted(((re.compile(re.sub(r"\{[^}]+\}", "[^/]+", p)), p) for p in document["paths"] if p.startswith(OURS)), key=lambda x: x[1].count("{"))

    def operations(self):
        return {(method, path) for _, path in self._paths for method in self.document["paths"][path]}

    def path_of(self, path):
        return next((p for pattern, p in self._paths if pattern.fullmatch(path)), None)

    def problem(self, method, path, status, media, body):
        """What the document does not say of an answer, as text; None if it says all."""
        template = self.path_of(path)
        operation = self.document["paths"].get(template, {}).get(method.lower())
        if operation is None:
            return None if status in (404, 405) or method in ("HEAD", "OPTIONS") else f"{method} {path}: not in the document"
        answers = operation["responses"]["200" if status < 300 else "default"]["content"]
        if media not in answers:
            return f"{method} {path}: {status} {media!r} is not documented; {sorted(answers)} are"
        schema = answers[media].get("schema")
        if schema is not None:
            value = json.loads(body)
            if template == "/ready" and status == 503:
                schema = operation["responses"]["200"]["content"][media]["schema"]
            error = jsonschema.exceptions.best_match(self._validator(json.dumps(schema), schema).iter_errors(value))
            if error is not None:
                return f"{method} {path}: {status} {error.json_path}: {error.message[:500]}"
        elif media == "application/json":
            return f"{method} {path}: JSON without a schema"
        if status < 300:
            self.met.add((method.lower(), template))
        return None

    def _validator(self, key, schema):
        if key not in self._validators:
            self._validators[key] = jsonschema.Draft202012Validator(schema | {"components": self.document["components"]})
        return self._validators[key]


class Watch:
    """Sees what every requests.Session gets, and notes what the document does not say. All servers of a run are of one binary: one document."""

    def __init__(self):
        self.document, self.problems, self._lock = None, [], threading.Lock()

    def __enter__(self):
        self._send = send = requests.Session.send

        def watched(session, request, **options):
            answer = send(session, request, **options)
            path = path_of(request)
            if path.startswith(OURS) and request.method != "HEAD" and not options.get("stream") and len(answer.content) <= LARGEST:
                self._look(send, session, request, answer, path)
            return answer

        requests.Session.send = watched
        return self

    def __exit__(self, *_):
        requests.Session.send = self._send

    def _look(self, send, session, request, answer, path):
        media = answer.headers.get("Content-Type", "").split(";")[0]
        with self._lock:
            if self.document is None:
                self._fetch(send, session, request)
            if self.document is not None and (problem := self.document.problem(request.method, path, answer.status_code, media, answer.content)):
                self.problems.append(problem)

    def _fetch(self, send, session, request):
        """Asks for the document as the request asked, with its key; where that may not read, a later one will."""
        ask = requests.Request("GET", request.url.split(path_of(request))[0] + "/openapi.json", headers={k: v for k, v in request.headers.items() if k == "Authorization"})
        found = send(session, session.prepare_request(ask), verify=False, timeout=60)
        if found.ok:
            self.document = Document(found.json())


def path_of(request):
    return request.path_url.split("?")[0]
