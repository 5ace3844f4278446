// The application that both servers run: `start` is the function of npm socket.red, or the gateway's. `dispatchToAll` sends
// an action to every session; without it the application does so itself.
module.exports = (start, port, dispatchToAll) => {
  const sessions = new Set();

  const api = {
    randomNumber() {
      return { randomNumber: Math.random() };
    },
    tick(payload) {
      const action = { type: "TICK", payload };
      if (dispatchToAll) dispatchToAll(action);
      else for (const session of sessions) session.dispatch(action);
    },
  };

  start(port, () => {
    const session = {
      onStart() {
        sessions.add(session);
        return api;
      },
      onClose() {
        sessions.delete(session);
      },
    };
    return session;
  });
};
