"""PyPI's socket.io-emitter: redis-emitter.py OPTIONS

Says and obeys what redis-emitter.js does. OPTIONS is JSON: redis, an address of lib/redis.js; key.
It can address rooms and namespaces, and only emit.
"""

import json
import sys

import redis
from socket_io_emitter import Emitter

OPTIONS = json.loads(sys.argv[1])


def python(value):
    if isinstance(value, list):
        return [python(inner) for inner in value]
    if isinstance(value, dict):
        if list(value) == ["binary"]:
            return bytes.fromhex(value["binary"])
        return {key: python(inner) for key, inner in value.items()}
    return value


def say(line):
    print(json.dumps(line), flush=True)


def connected():
    address = OPTIONS["redis"]
    options = {"username": address.get("user"), "password": address.get("password")}
    if "path" in address:
        return redis.Redis(unix_socket_path=address["path"], **options)
    if "ca" in address:
        options.update(ssl=True, ssl_ca_certs=address["ca"])
    return redis.Redis(host=address["host"], port=address["port"], **options)


client = connected()
settings = {"client": client}
if "key" in OPTIONS:
    settings["key"] = OPTIONS["key"]
emitter = Emitter(settings)
say({"ready": client.ping()})

for line in sys.stdin:
    order = json.loads(line)
    target = emitter
    if "of" in order:
        target = target.Of(order["of"])
    for room in order.get("to", []):
        target = target.In(room)
    method, *args = order["call"]
    if method == "emit":
        # Every command of this client is answered before it returns.
        target.Emit(*python(args))
        say({"answer": order["number"], "result": None})
    else:
        say({"answer": order["number"], "error": f"this emitter cannot {method}"})
