// The application that the recorded SocketCluster servers ran, as a script.
const startServer = require('socket.red');
const polyport = require('polyport');

const KEY = 'polyport-test-key';

class Named extends Error {
  constructor(name, message, fields) {
    super(message);
    Object.assign(this, { name }, fields);
  }
}

// --- tokens: HS256 by hand, because scripts have no cryptography ---------------------------------------------------------

const root = (number, power) => Math.floor((number ** (1 / power) % 1) * 2 ** 32);
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
const ROUNDS = primes.map((prime) => root(prime, 3));
const START = primes.slice(0, 8).map((prime) => root(prime, 2));
const turn = (word, by) => (word >>> by) | (word << (32 - by));

function sha256(bytes) {
  const length = bytes.length;
  const padded = new Uint8Array(Math.ceil((length + 9) / 64) * 64);
  padded.set(bytes);
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, length * 8);
  const hash = [...START];
  for (let block = 0; block < padded.length; block += 64) {
    const words = [];
    for (let i = 0; i < 64; i++) {
      if (i < 16) { words.push(view.getInt32(block + i * 4)); continue; }
      const [a, b] = [words[i - 15], words[i - 2]];
      const s0 = turn(a, 7) ^ turn(a, 18) ^ (a >>> 3);
      const s1 = turn(b, 17) ^ turn(b, 19) ^ (b >>> 10);
      words.push((words[i - 16] + s0 + words[i - 7] + s1) | 0);
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const t1 = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => { hash[i] = (hash[i] + word) | 0; });
  }
  const out = new DataView(new ArrayBuffer(32));
  hash.forEach((word, i) => out.setInt32(i * 4, word));
  return new Uint8Array(out.buffer);
}

const utf8 = (text) => new TextEncoder().encode(text);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

function hmac(text) {
  const key = new Uint8Array(64);
  key.set(utf8(KEY));
  const inner = sha256(join(key.map((byte) => byte ^ 0x36), utf8(text)));
  return sha256(join(key.map((byte) => byte ^ 0x5c), inner));
}

const base64 = (bytes) => bytes.toBase64({ alphabet: 'base64url', omitPadding: true });

function sign({ expiresIn = 86_400, ...claims }) {
  const iat = Math.floor(Date.now() / 1000);
  const part = (value) => base64(utf8(JSON.stringify(value)));
  const message = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, iat, exp: iat + expiresIn })}`;
  return `${message}.${base64(hmac(message))}`;
}

// --- calls ----------------------------------------------------------------------------------------------------------------

const said = (data) => (data === undefined ? [] : [data]);

class Application {
  constructor(session) { this.session = session; }
  echo(data) { return data; }
  void() {}
  nul() { return null; }
  fail() { throw new Named('CustomError', 'it failed', { detail: { a: 1 } }); }
  // To old JavaScript clients `fail` is an event of their own.
  failing() { this.fail(); }
  failStr() { throw 'plain string'; }
  blockedStr() { throw 'just a string'; }
  slow() { return new Promise(() => {}); }
  tx(data) { this.session.emit('tx-back', ...said(data)); }
  pubout({ channel, data }) { polyport.publish(channel, 'message', data); }
  async callme(data) { return { got: (await this.session.ask('client-proc', ...said(data)))[0] }; }
  async callmeNoAck(data) { await this.session.ask('client-missing', ...said(data)); }
  greetme(data) {
    this.session.emit('greet', data);
    this.session.emit('greet');
  }
  kick({ channel, message }) { this.session.emit('#kickOut', { channel, message }); }
  takeOut({ channel }) { polyport.leave({ session: this.session.id }, channel); }
  auth({ reject, ...claims }) {
    const token = { token: sign(claims) };
    if (!reject) this.session.emit('#setAuthToken', token);
    else this.session.ask('#setAuthToken', token).catch(() => {});
  }
  async deauth(data) {
    if (data === undefined) this.session.emit('#removeAuthToken');
    else await this.session.ask('#removeAuthToken');
  }
  whoami() {
    const user = polyport.sessions({}).find(({ id }) => id === this.session.id)?.user ?? null;
    return { user, state: user === null ? 'unauthenticated' : 'authenticated' };
  }
  bye({ code, reason } = {}) { setTimeout(() => this.session.emit('#disconnect', { code, reason }), 20); }
}

startServer(0, function createSession(url, headers, origin, isTls, request) {
  const denied = /[?&]denysc=(\d+)/.exec(url)?.[1];
  if (denied) {
    const statusCode = denied === '1' ? 4008 : Number(denied);
    throw Object.assign(new Error('SC handshake denied'), { data: { name: 'DenySC', statusCode } });
  }
  const session = { whole: request };
  session.api = new Application(session);
  return session;
});

exports.onJoin = function onJoin(session, room) {
  if (room === 'forbidden') throw new Named('ForbiddenError', 'You may not subscribe', { why: { x: 1 } });
  if (room === 'members' && session.api.whoami().user === null) throw new Named('NeedAuth', 'auth needed');
  return room !== 'silent' && room !== 'blocked-noarg';
};

exports.onPublish = function onPublish(session, room) {
  if (room === 'readonly') throw new Named('ReadOnlyError', 'read only');
};
