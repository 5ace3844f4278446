// The example of the socket.red documentation. It needs a store and a way to tell who connects: `db` and `identify` here.
// Repaired are two places: `api: new ServerApi(session)` inside of `session` uses `session` before it exists, so the api is
// made behind it; and `createRecord` speaks of a `model` that is nowhere, where it means its argument `schema`.
const tables = {};
const db = {
  insert(schema, record) {
    const table = (tables[schema] ??= []);
    const stored = { id: table.length + 1, ...record };
    table.push(stored);
    return stored;
  },
};

// The user's id is the path: /7
function identify(url) {
  const id = /^\/(\w+)/.exec(url)?.[1];
  if (!id) {
    throw new Error('Who are you?');
  }
  return { id };
}

const startServer = require('socket.red');

// Your api provider
class ServerApi {
  constructor(session) {
    this.session = session;
  }

  // A simple api that returns a value, error or promise
  clap(numberOfHands) {
    // the api can throw error, which is received at the remote end
    if (!numberOfHands) {
      throw new Error('Cannot clap without any hands');
    }

    // The api can return via promise
    if (numberOfHands > 2) {
      return new Promise((resolve, reject) => {
        setTimeout(() => {
          if (numberOfHands > 10) {
            reject(new Error('What kind of a monster are you?'));
          } else {
            resolve('its difficult to clap with so many hands');
          }
        }, 500)
      });
    }

    // The api can return immediately as well
    return `Clap Clap Clap with ${numberOfHands}`;
  }

  // A more useful api that can dispatch action to all the clients
  createRecord(schema, record) {
    const rec = db.insert(schema, record);
    Object.keys(allSessions).forEach(key => allSessions[key].dispatch({
      type: 'schema.insert',
      schema,
      payload: rec,
    }));
  }
}

const allSessions = {};

// This is how you start the server
startServer(8080, function createSession(url) {
  // You can throw an error here, to reject the connection
  const user = identify(url);

  const session = {
    onClose: () => {
      // Cleanup stuff to do when the remote connection closes
      delete allSessions[user.id];
    },
    onStart: () => {
      // Store the session for using later
      allSessions[user.id] = session;
      // An entry point for the session startup, you can use the session
      // object here iwth dispatch and emit methods
      session.emit('hi', 'A new session has started'); // Send an event to the client
      session.dispatch({ type: 'ACTION_TYPE', payload: 'Your action data' });
    },

    // Add any other properties to the session as you need
    user,
  };

  session.api = new ServerApi(session); // Provide the api
  return session;
});
