"""Drives python-socketio: socket-io-client.py OPTIONS

OPTIONS is JSON: url, transports, namespaces, auth, query, reconnection, asynchronous, answer.
Reads one command per line from its standard input, prints one line per thing that its application sees.
"""

import asyncio
import json
import os
import sys
import threading

import socketio

OPTIONS = json.loads(sys.argv[1])
OLD = os.environ["PYTHON_SOCKETIO"].startswith("4.")
EVENTS = ["echo", "question", "got-answer", "bin", "uni", "burst", "big", "load", "news"]
lock = threading.Lock()
order = threading.Lock()


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return {"binary": bytes(value).hex()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def python(value):
    if isinstance(value, list):
        return [python(inner) for inner in value]
    if isinstance(value, dict):
        if list(value) == ["binary"]:
            return bytes.fromhex(value["binary"])
        return {key: python(inner) for key, inner in value.items()}
    return value


def show(namespace, *entry):
    # The older client has no word for it.
    transport = sio.eio.current_transport if sio.eio.state == "connected" else None
    with lock:
        print(json.dumps({"namespace": namespace, "transport": transport, "entry": plain(list(entry))}), flush=True)


asked = []
answers = {}


def ask(namespace, name):
    """A callback that shows its answer. A client with threads tells of answers in any order: they are shown in that of asking."""
    mine = object()
    if not OPTIONS.get("asynchronous"):
        asked.append(mine)

    def answered(*answer):
        if OPTIONS.get("asynchronous"):
            return show(namespace, "answer", name, *answer)
        with order:
            answers[mine] = lambda: show(namespace, "answer", name, *answer)
            while asked and asked[0] in answers:
                answers.pop(asked.pop(0))()

    return answered


if OPTIONS.get("asynchronous"):
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    Client = socketio.AsyncClient
else:

    def run(result):
        return result

    Client = socketio.Client

settings = {
    "reconnection": OPTIONS.get("reconnection", False),
    "reconnection_delay": 0.05,
    "reconnection_delay_max": 0.1,
    "randomization_factor": 0,
}
if not OLD:
    settings["handle_sigint"] = False

REASONS = {"client disconnect": "io client disconnect", "server disconnect": "io server disconnect", "transport error": "transport close"}


def register(namespace):
    sio.on("connect", lambda: show(namespace, "connect"), namespace=namespace)

    def disconnected(reason=None):
        # The older client gives no reason.
        reason = reason or "server disconnect"
        show(namespace, "disconnect", REASONS.get(reason, reason))

    def refused(*data):
        show(namespace, "connect_error", *data)

    sio.on("disconnect", disconnected, namespace=namespace)
    sio.on("connect_error", refused, namespace=namespace)
    for name in EVENTS:

        def received(*args, name=name):
            if name == "question":
                show(namespace, "event", name, *args, "<callback>")
                return tuple(python(OPTIONS["answer"]))
            show(namespace, "event", name, *args)

        sio.on(name, received, namespace=namespace)


async def made():
    return Client(**settings)


# An AsyncClient belongs to the loop that it is made in.
sio = run(made()) if OPTIONS.get("asynchronous") else Client(**settings)
for each in OPTIONS.get("namespaces", ["/"]):
    register(each)

arguments = {"namespaces": OPTIONS.get("namespaces", ["/"])}
if OPTIONS.get("transports"):
    arguments["transports"] = OPTIONS["transports"]
if OPTIONS.get("auth"):
    arguments["auth"] = OPTIONS["auth"]
try:
    run(sio.connect(OPTIONS["url"], **arguments))
except socketio.exceptions.ConnectionError as error:
    show("/", "failed", str(error))

for line in sys.stdin:
    command = json.loads(line)
    namespace = command.get("namespace", "/")
    if "emit" in command:
        name, *args = python(command["emit"])
        options = {"namespace": namespace}
        if command.get("ask"):
            options["callback"] = ask(namespace, name)
        try:
            run(sio.emit(name, tuple(args) if args else None, **options))
        except socketio.exceptions.SocketIOError as error:
            show(namespace, "failed", str(error))
    elif "disconnect" in command:
        run(sio.disconnect())
        if OLD:
            # It keeps to itself that it did as it was told.
            show("/", "disconnect", "io client disconnect")

os._exit(0)
