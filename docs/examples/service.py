# A service behind the gateway, as docs/http-backend.md explains it. Run: APP_SECRET=… PORT=7000 python3 service.py
import hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USERS = {"ann-1": "ann", "bob-2": "bob"}

def is_signed(header, body):
    then, *found = [part.partition("=")[2] for part in header.split(",")]
    right = hmac.new(os.environ["APP_SECRET"].encode(), f"{then}.".encode() + body, hashlib.sha256).hexdigest()
    return then.isdecimal() and abs(time.time() - int(then)) < 300 and any(hmac.compare_digest(one, right) for one in found)

def greet(session, name): return {"result": {"text": f"Hello {name}, says {session['identity']['user']}"}}
def count(session, _): return {"result": {"count": session["data"]["count"] + 1}, "data": {"count": session["data"]["count"] + 1}}
def announce(_, text): return {"push": [{"publish": {"to": {"room": "lobby"}, "event": "news", "data": text}}]}
ACTIONS = {"greet": greet, "count": count, "announce": announce}

def answer(asked):
    if asked["request"] == "open":
        user = USERS.get(parse_qs(urlsplit(asked["open"]["target"]).query).get("token", [""])[0])
        return {"identity": {"user": user}, "data": {"count": 0}} if user else {"result": False}
    if asked["request"] != "call": return {}
    call = asked["call"]
    action = ACTIONS.get(call["action"], lambda *_: {"error": f"there is no action {call['action']}"})
    return action(asked["session"], (call.get("args") or [call.get("params", {}).get("value")])[0])

class Service(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = is_signed(self.headers.get("Polyport-Signature", ""), body)
        text = json.dumps(answer(json.loads(body)) if signed else {}).encode()
        self.send_response(200 if signed else 401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 7000))), Service).serve_forever()
