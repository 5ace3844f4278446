// A tour of what a socket.red server can do. Sessions are made by the path: /unauthorized is refused with 401, /boom with
// 500, /slow-auth opens after 300 ms, and every other opens at once.
const startServer = require('socket.red');

const sessions = new Set();
const after = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));

class TourApi {
  constructor(session) {
    this.session = session;
  }

  clap(numberOfHands) {
    if (!numberOfHands) {
      throw new Error('Cannot clap without any hands');
    }
    if (numberOfHands > 2) {
      return after(500).then(() => {
        if (numberOfHands > 10) {
          throw new Error('What kind of a monster are you?');
        }
        return 'its difficult to clap with so many hands';
      });
    }
    return `Clap Clap Clap with ${numberOfHands}`;
  }

  sum(a, b) {
    return a + b;
  }

  slow(ms, value) {
    return after(ms, value);
  }

  err(message) {
    throw new Error(message);
  }

  undef() {}

  obj() {
    return { a: 1, list: [1, 'two', null, true, 3.5], gone: undefined };
  }

  act(payload) {
    this.session.dispatch({ type: 'ACT', payload });
  }

  notify(name, data) {
    this.session.emit(name, data);
  }

  createRecord(schema, record) {
    const payload = { id: 7, ...record };
    sessions.forEach((session) => session.dispatch({ type: 'schema.insert', schema, payload }));
    return payload.id;
  }

  closeSelf() {
    this.session.close();
    return true;
  }
}

startServer(8080, function createSession(url) {
  const path = url.split('?')[0];
  if (path === '/unauthorized') {
    return null;
  }
  if (path === '/boom') {
    throw new Error('Session store is down');
  }
  const session = {
    onStart: () => {
      sessions.add(session);
      session.emit('hi', 'A new session has started');
      session.dispatch({ type: 'ACTION_TYPE', payload: 'Your action data' });
    },
    onClose: () => sessions.delete(session),
  };
  session.api = new TourApi(session);
  return path === '/slow-auth' ? after(300, session) : session;
});
