"""A SocketCluster client that is told what to do on standard input and says what it hears on standard output."""

import json
import os
import sys
import threading

from socketclusterclient import Socketcluster


# The client notes who waits for an answer only after it has sent, and a gateway may answer faster than that.
LOCK = threading.Lock()


class Client(Socketcluster.socket):
    def on_message(self, ws, message):
        with LOCK:
            super().on_message(ws, message)


def say(**what):
    print(json.dumps(what), flush=True)


def answer(name, error, data):
    say(answer={"name": name, "error": error, "data": data})


def obey(socket):
    for line in sys.stdin:
        with LOCK:
            carry_out(socket, json.loads(line))
    os._exit(0)


def carry_out(socket, command):
    if "emit" in command:
        socket.emitack(*command["emit"], answer)
    elif "subscribe" in command:
        channel = command["subscribe"]
        socket.onchannel(channel, lambda name, data: say(message={"channel": name, "data": data}))
        socket.subscribeack(channel, lambda name, error, data: say(subscribed={"channel": name, "error": error}))
    elif "listen" in command:
        socket.on(command["listen"], lambda name, data: say(event={"name": name, "data": data}))
    elif "publish" in command:
        socket.publish(*command["publish"])


def connected(socket):
    threading.Thread(target=obey, args=(socket,), daemon=True).start()


def authenticated(socket, is_authenticated):
    say(connected={"id": socket.id, "isAuthenticated": is_authenticated})


def main():
    socket = Client(sys.argv[1])
    socket.setBasicListener(connected, lambda _: say(disconnected={}), lambda _, error: say(failed=str(error)))
    socket.setAuthenticationListener(lambda _, token: say(token=token), authenticated)
    socket.setreconnection(False)
    socket.connect()
    os._exit(0)


main()
