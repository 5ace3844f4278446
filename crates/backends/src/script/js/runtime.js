// The half of a script's engine that is written in JavaScript. `host` holds the functions of the program.
// An entry gives back its answer, one letter that says what it is and a text, or nothing if the answer comes later through
// `host.settle`: `+` a value, `*` a list of arguments that may have binary in it, `-` the application's own error, `E` one
// that is more than a text, in JSON, `D` one with data, in JSON, `V` no value, `S` a no without a reason, `F` a result that is none, `M` out of memory, `U` unknown, `P` a missing input, `N` no answer, `0` nobody, `!` one that the log explains.
(function (host) {
  const write = JSON.stringify, parse = JSON.parse;
  const { create, defineProperty, getOwnPropertyDescriptor, getOwnPropertyNames, getPrototypeOf } = Object;

  // --- values -------------------------------------------------------------------------------------------------------

  // Binary in a value for the program is a string with a mark in front; see marks.rs. `write` writes it so.
  const { mark } = host;
  const { toBase64 } = Uint8Array.prototype;
  const { fromBase64 } = Uint8Array;
  // How many things have been written so that are no plain JSON.
  let pieces = 0;
  // Somebody else's text is being written: binary is an object of numbers there, as everywhere in JavaScript.
  let isPlain = false;

  function stringify(value, replacer, space) {
    const outer = isPlain;
    isPlain = true;
    try {
      return write(value, replacer, space);
    } finally {
      isPlain = outer;
    }
  }

  const method = (value) => ({ value, writable: true, configurable: true });
  defineProperty(JSON, 'stringify', method(stringify));

  function binary(own, bytes) {
    if (isPlain) return { ...own };
    pieces++;
    return mark + toBase64.call(bytes);
  }
  defineProperty(Uint8Array.prototype, 'toJSON', method(function toJSON() { return binary(this, this); }));
  defineProperty(ArrayBuffer.prototype, 'toJSON', method(function toJSON() { return binary(this, new Uint8Array(this)); }));

  // An answer of several arguments.
  class Args {
    constructor(list) { this.list = list; }
    toJSON() { pieces++; return this.list; }
  }

  function read(text, hasBinary) {
    if (!hasBinary) return parse(text);
    return parse(text, (key, value) =>
      typeof value === 'string' && value.startsWith(mark) ? fromBase64(value.slice(mark.length)) : value);
  }

  // --- errors -------------------------------------------------------------------------------------------------------

  function message(error) {
    // The engine itself throws null when there is no memory left even for an error.
    if (error === null) return 'the script threw null, or ran out of memory';
    if (error === undefined) return 'the script threw undefined';
    if (typeof error === 'string') return error;
    try {
      if (typeof error === 'object' && typeof error.message === 'string') return error.message;
      return String(error);
    } catch {
      return 'the script threw something that has no text';
    }
  }

  function isMemory(error) {
    return error instanceof InternalError && error.message === 'out of memory';
  }

  function failure(error) {
    if (isMemory(error)) return 'M';
    if (error instanceof Error) host.log('debug', error.name + ': ' + error.message + '\n' + error.stack);
    const text = message(error);
    try {
      const whole = wholeError(error);
      return whole === undefined ? '-' + text : 'E' + stringify({ text, error: whole });
    } catch {
      return '-' + text;
    }
  }

  // What an error is beside its text, for protocols whose errors are values; nothing of one that is only a text.
  function wholeError(error) {
    if (typeof error === 'string') return error;
    if (error === null || typeof error !== 'object' || typeof error.message !== 'string') return undefined;
    const { message, name = 'Error', stack, ...fields } = error instanceof Error
      ? { ...error, message: error.message, name: String(error.name) } : error;
    return name === 'Error' && Object.keys(fields).length === 0 ? undefined : { message, name, ...fields };
  }

  function refusal(error) {
    const said = failure(error);
    if (!(error instanceof Error) || error.data === undefined || said === 'M') return said;
    try {
      return 'D' + stringify({ text: message(error), data: error.data ?? null });
    } catch (cause) {
      host.log('error', 'the data of a refusal cannot be written as JSON: ' + message(cause));
      return '-' + message(error);
    }
  }

  function success(value) {
    try {
      const before = pieces;
      const text = write(value);
      if (pieces === before) return text === undefined ? 'V' : '+' + text;
      return value instanceof Args ? '*' + text : '*[' + text + ']';
    } catch (error) {
      return isMemory(error) ? 'M' : 'Fthe result cannot be written as JSON: ' + message(error);
    }
  }

  function finish(id, value, done = success) {
    if (value === null || typeof value !== 'object' || typeof value.then !== 'function') return done(value);
    value.then((result) => host.settle(id, done(result)), (error) => host.settle(id, failure(error)));
  }

  // --- timers -------------------------------------------------------------------------------------------------------

  // The call that runs now: what it starts is its own, for the blame if that runs too long.
  let current = 0;
  // From 2^52 on, for the hash of `Map`: see `FIRST_KEY` in engine.rs.
  let nextTimer = 2 ** 52;
  const timers = new Map();

  function addTimer(work, ms, args, repeats) {
    if (typeof work !== 'function') throw new TypeError('a timer needs a function');
    if (timers.size >= 10000) throw new RangeError('the script has as many timers as it may: 10000');
    ms = Number(ms);
    ms = ms >= 1 && ms <= 2147483647 ? ms : repeats ? 1 : 0;
    const due = host.now() + ms;
    timers.set(nextTimer, { work, ms, args, repeats, due, call: current });
    host.timer(due);
    return nextTimer++;
  }

  // Runs one timer that is due; when the next one is.
  function fire(now) {
    let first = 0, due = Infinity, second = Infinity;
    for (const [id, timer] of timers) {
      if (timer.due < due) { second = due; due = timer.due; first = id; } else if (timer.due < second) second = timer.due;
    }
    if (due > now) return host.timer(due);
    const timer = timers.get(first);
    if (timer.repeats) { timer.due = now + timer.ms; second = Math.min(second, timer.due); } else timers.delete(first);
    host.timer(second);
    current = timer.call;
    host.blame(current);
    timer.work(...timer.args);
  }

  const clear = (id) => { timers.delete(id); };
  const globals = {
    setTimeout: (work, ms, ...args) => addTimer(work, ms, args, false),
    setInterval: (work, ms, ...args) => addTimer(work, ms, args, true),
    setImmediate: (work, ...args) => addTimer(work, 0, args, false),
    clearTimeout: clear, clearInterval: clear, clearImmediate: clear,
    queueMicrotask: (work) => { Promise.resolve().then(work); },
    structuredClone: (value) => value === undefined ? undefined : parse(stringify(value)),
  };

  function shown(value) {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return value.name + ': ' + value.message + '\n' + value.stack;
    try { return stringify(value) ?? String(value); } catch { return String(value); }
  }
  const logger = (level) => (...values) => host.log(level, values.map(shown).join(' '));
  const log = { debug: logger('debug'), info: logger('info'), log: logger('info'), warn: logger('warn'),
    error: logger('error'), trace: logger('debug') };
  globals.console = log;

  // --- fetch and texts ----------------------------------------------------------------------------------------------

  const fetches = new Map();
  let nextFetch = 1;

  globals.fetch = (url, { method = 'GET', headers = {}, body = '' } = {}) => new Promise((resolve, reject) => {
    if (fetches.size >= 32) throw new TypeError('fetch: the script has as many requests at once as it may: 32');
    if (typeof body !== 'string') throw new TypeError('fetch: the body is a string');
    const pairs = (Array.isArray(headers) ? headers : Object.entries(headers)).map(([name, value]) => [name, String(value)]);
    const id = nextFetch++;
    host.fetch(id, stringify({ url: String(url), method: String(method).toUpperCase(), headers: pairs, body }));
    fetches.set(id, { resolve, reject, call: current });
  });

  function fetched(id, error, status, headers, body, text) {
    const waiting = fetches.get(id);
    if (!waiting) return;
    fetches.delete(id);
    current = waiting.call;
    host.blame(current);
    if (error) return waiting.reject(new TypeError('fetch: ' + error));
    const pairs = parse(headers);
    const get = (name) => {
      const found = pairs.filter(([known]) => known === String(name).toLowerCase());
      return found.length ? found.map(([, value]) => value).join(', ') : null;
    };
    waiting.resolve({ status, ok: status >= 200 && status < 300, headers: { get, has: (name) => get(name) !== null },
      text: async () => text, json: async () => parse(text), arrayBuffer: async () => body });
  }

  // UTF-8 with U+FFFD for what is none.
  function decode(view) {
    if (view === undefined) return '';
    const bytes = view instanceof ArrayBuffer ? new Uint8Array(view)
      : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    let text = '';
    for (let at = 0; at < bytes.length;) {
      const first = bytes[at++];
      if (first < 0x80) { text += String.fromCharCode(first); continue; }
      const more = first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
      let code = more ? first & (0x3f >> more) : 0xfffd, read = 0;
      while (read < more && (bytes[at] & 0xc0) === 0x80) { code = code << 6 | bytes[at++] & 0x3f; read++; }
      const least = [0, 0x80, 0x800, 0x10000][more];
      const isValid = read === more && code >= least && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
      text += String.fromCodePoint(isValid ? code : 0xfffd);
    }
    return text;
  }
  globals.TextEncoder = class TextEncoder { encode(text = '') { return new Uint8Array(host.encode(String(text))); } };
  globals.TextDecoder = class TextDecoder { decode(view) { return decode(view); } };
  for (const name of Object.keys(globals))
    defineProperty(globalThis, name, { value: globals[name], writable: true, configurable: true });

  // --- sessions -----------------------------------------------------------------------------------------------------

  let createSession = null, pulse;
  const sessions = new Map();
  const attached = new WeakSet();
  const shapes = new Map();
  const byPrototype = new WeakMap();

  function startServer(port, create, pulseRate) {
    if (typeof port === 'function') { pulseRate = create; create = port; }
    if (typeof create !== 'function') throw new TypeError('startServer(port, createSession): createSession is no function');
    if (createSession) throw new Error('startServer was called twice; a script serves one kind of session');
    createSession = create;
    if (pulseRate !== undefined) {
      pulse = Number(pulseRate);
      if (!(pulse >= 0)) throw new TypeError('startServer: pulseRate is a number of milliseconds');
    }
    return () => {};
  }
  startServer.default = startServer;

  function functionsOf(object, names) {
    for (const name of getOwnPropertyNames(object)) {
      if (name === 'constructor' || name.startsWith('__')) continue;
      if (typeof getOwnPropertyDescriptor(object, name).value === 'function') names.add(name);
    }
  }

  function inherited(prototype) {
    if (prototype === null || prototype === Object.prototype || prototype === Function.prototype) return new Set();
    let names = byPrototype.get(prototype);
    if (!names) {
      names = new Set(inherited(getPrototypeOf(prototype)));
      functionsOf(prototype, names);
      for (const name of getOwnPropertyNames(Object.prototype)) names.delete(name);
      byPrototype.set(prototype, names);
    }
    return names;
  }

  function shapeOf(api) {
    if (api === null || api === undefined || (typeof api !== 'object' && typeof api !== 'function')) api = create(null);
    const names = new Set(inherited(getPrototypeOf(api)));
    functionsOf(api, names);
    for (const name of getOwnPropertyNames(Object.prototype)) names.delete(name);
    const key = [...names].sort().join('\n');
    let shape = shapes.get(key);
    if (!shape) {
      shape = { number: shapes.size, names };
      if (shapes.size >= 10000) throw new Error('the sessions of this script have too many different apis');
      shapes.set(key, shape);
      host.shape(shape.number, stringify([...names]));
    }
    return shape;
  }

  function attach(entry, object) {
    if (attached.has(object)) object = create(object);
    attached.add(object);
    const key = entry.key;
    const methods = {
      emit(name, ...args) {
        if (args.length !== 1) return host.emitList(key, String(name), write(args));
        const before = pieces;
        const text = write(args[0]) ?? 'null';
        if (pieces === before) host.emit(key, String(name), text);
        else host.emitList(key, String(name), '[' + text + ']');
      },
      dispatch(action) { methods.emit('action', action); },
      close() { host.close(key); },
      addCloseListener(listener) { entry.listeners.push(listener); },
    };
    for (const name of Object.keys(methods)) defineProperty(object, name, method(methods[name]));
    // What npm socket.red does not have gives way to what the script has.
    const ours = {
      id: entry.id,
      ask(name, ...args) { return ask(key, String(name), args); },
      leave() { host.leave(key); },
    };
    for (const name of Object.keys(ours)) if (!(name in object)) defineProperty(object, name, method(ours[name]));
    return object;
  }

  const questions = new Map();
  // For the hash of `Map`, as timers.
  let nextQuestion = 2 ** 52;

  const question = (put) => new Promise((resolve, reject) => {
    const number = nextQuestion++;
    put(number);
    questions.set(number, { resolve, reject, call: current });
  });
  const ask = (key, name, args) => question((number) => host.ask(key, number, name, write(args)));
  const serverSideEmit = (name, args) => question((number) => host.askServers(number, name, write(args)))
    .then(([answers, complete]) => ({ answers, complete }));

  // The error of a client: one with all its fields, or whatever it is.
  const revived = (error) => error !== null && typeof error === 'object' && typeof error.message === 'string'
    ? Object.assign(new Error(error.message), error) : error;

  function answered(number, error, list, hasBinary) {
    const waiting = questions.get(number);
    if (!waiting) return;
    questions.delete(number);
    current = waiting.call;
    host.blame(current);
    if (error) waiting.reject(error[0] === '!' ? revived(parse(error.slice(1))) : new Error(error));
    else waiting.resolve(read(list, hasBinary));
  }

  // A use of a variable inside its own initialiser: the client is told what V8 says, the log what to do.
  function openFailure(error) {
    const found = error instanceof ReferenceError && /^'?([\w$]+)'? is not initialized$/.exec(error.message);
    if (!found) return refusal(error);
    const name = found[1];
    host.log('error', host.place(error.stack) + ': `' + name + '` is used while its own value is still being made: the ' +
      'object that is to become `' + name + '` does not exist yet where it is passed on. Make the object first and what ' +
      'needs it afterwards, for example `' + name + '.api = new ServerApi(' + name + ')` behind it.');
    return "-Cannot access '" + name + "' before initialization";
  }

  function identity(value) {
    if (value !== null && typeof value === 'object') value = value.id;
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  }

  function open(id, key, text) {
    current = id;
    const request = parse(text);
    const entry = { key, id: request.id, session: null, api: null, shape: null, listeners: [], end: null, ready: null };
    sessions.set(key, entry);
    const fail = (error) => { sessions.delete(key); return openFailure(error); };
    const ready = (api) => {
      const session = entry.session;
      entry.api = api === null || api === undefined || typeof api !== 'object' && typeof api !== 'function' ? session.api : api;
      entry.shape = shapeOf(entry.api);
      entry.ready = null;
      if (entry.end) ended(entry);
      const user = session.user;
      return '+' + stringify({ shape: entry.shape.number, user: identity(user), site: typeof session.site === 'string' ? session.site
        : undefined, public: session.public, ping: pulse });
    };
    const made = (object) => {
      if (object === null) { sessions.delete(key); return '0'; }
      if (typeof object !== 'object' && typeof object !== 'function') {
        sessions.delete(key);
        return '-createSession gave no session: return an object, or null to refuse';
      }
      const session = entry.session = attach(entry, object);
      return later(typeof session.onStart === 'function' ? session.onStart() : undefined, ready);
    };
    const later = (value, then) =>
      value !== null && typeof value === 'object' && typeof value.then === 'function' ? value.then(then) : then(value);
    try {
      const result = later(createSession(request.url, request.headers, request.origin, request.isTls, request), made);
      if (typeof result === 'string') return result;
      entry.ready = result.then((text) => host.settle(id, text), (error) => host.settle(id, fail(error)));
    } catch (error) {
      return fail(error);
    }
  }

  function call(id, key, name, args, hasBinary) {
    current = id;
    const entry = sessions.get(key);
    if (!entry) return 'U';
    if (entry.ready) {
      entry.ready.then(() => { const now = call(id, key, name, args, hasBinary); if (now !== undefined) host.settle(id, now); });
      return;
    }
    if (!entry.shape.names.has(name)) return 'U';
    try {
      args = read(args, hasBinary);
      return finish(id, Array.isArray(args) ? entry.api[name](...args) : entry.api[name](args));
    } catch (error) {
      return failure(error);
    }
  }

  function ended(entry) {
    const { code, reason } = entry.end;
    sessions.delete(entry.key);
    const session = entry.session;
    if (!session) return;
    const listeners = entry.listeners;
    if (typeof session.onClose === 'function') listeners.unshift(session.onClose);
    for (const listener of listeners) {
      try {
        const result = listener.call(session, code, reason);
        if (result && typeof result.then === 'function') result.then(undefined, failure);
      } catch (error) { failure(error); }
    }
  }

  function close(key, code, reason) {
    current = 0;
    const entry = sessions.get(key);
    if (!entry) return;
    entry.end = { code, reason };
    if (!entry.ready) ended(entry);
  }

  // --- permission hooks ---------------------------------------------------------------------------------------------

  let hooks = {};
  function may(id, key, hook, room, event, args, hasBinary) {
    current = id;
    const allowed = (value) => value === false ? 'Snot authorized' : typeof value === 'string' ? failure(value) : '+null';
    try {
      const session = sessions.get(key)?.session ?? null;
      return finish(id, hook === 'join' ? hooks.onJoin(session, room) : hooks.onPublish(session, room, event, read(args, hasBinary)), allowed);
    } catch (error) {
      return failure(error);
    }
  }

  // --- modules ------------------------------------------------------------------------------------------------------

  const { collect, act, Action, api } = host.parts.actions({ host, log, message, failure, success, finish, read,
    session: (key) => sessions.get(key)?.session, enter: (id) => { current = id; } });
  const polyport = host.parts.polyport({ host, log, Action, Args, write, serverSideEmit });
  api.cache = polyport.cache;
  const builtin = { 'socket.red': startServer, polyport, actionhero: { Action, api } };
  const modules = new Map();

  function requireFrom(from) {
    return (specifier) => {
      if (typeof specifier !== 'string') throw new TypeError('require: the name of a module is a string');
      if (Object.hasOwn(builtin, specifier)) return builtin[specifier];
      const file = host.resolve(from, specifier);
      const known = modules.get(file);
      if (known) return known.exports;
      const module = { exports: {}, id: file, filename: file };
      modules.set(file, module);
      try {
        const source = host.read(file);
        if (file.endsWith('.json')) module.exports = parse(source);
        else host.compile(source, file).call(module.exports, module.exports, requireFrom(file), module, file,
          file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : '.');
      } catch (error) {
        modules.delete(file);
        throw error;
      }
      return module.exports;
    };
  }
  defineProperty(globalThis, Symbol.for('polyport.require'), { value: requireFrom('') });

  // What the program wants to know of a script once it has run.
  function loaded(exports) {
    hooks = exports !== null && (typeof exports === 'object' || typeof exports === 'function') ? exports : {};
    return stringify({ sessions: createSession !== null, join: typeof hooks.onJoin === 'function',
      publish: typeof hooks.onPublish === 'function', actions: collect(hooks) });
  }

  return { open, call, act, close, may, fire, fetched, answered, loaded, main: (file) => loaded(requireFrom('')('./' + file)) };
})
