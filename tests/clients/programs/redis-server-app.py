"""python-socketio's server with its own manager of Redis: redis-server-app.py URL

Prints {"port": PORT}, then obeys calls, one line of JSON each, and answers: {"number", "room", "event", "arg"} is an event for
a room. What goes wrong is told on its standard error. Clients join rooms by the event "join", and speak by polling.
"""

import json
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import socketio

server = socketio.Server(async_mode="threading", client_manager=socketio.RedisManager(sys.argv[1]))


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class SilentHandler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@server.event
def join(sid, room):
    server.enter_room(sid, room)
    return True


def say(line):
    print(json.dumps(line), flush=True)


application = socketio.WSGIApp(server)
listener = make_server("127.0.0.1", 0, application, server_class=ThreadingServer, handler_class=SilentHandler)
threading.Thread(target=listener.serve_forever, daemon=True).start()
say({"port": listener.server_port})

for line in sys.stdin:
    call = json.loads(line)
    server.emit(call["event"], call["arg"], room=call["room"])
    say({"answer": call["number"], "result": None})
