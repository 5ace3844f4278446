// What `require('polyport')` gives.
(function ({ host, log, Action, Args, write, serverSideEmit }) {
  const text = (value) => JSON.stringify(value) ?? 'null';
  const target = (to) => typeof to === 'string' ? { room: to } : to;
  const command = (value) => host.command(write(value));
  const cache = {
    get: (key) => { const found = host.cacheLoad(String(key)); return found === undefined ? undefined : JSON.parse(found); },
    set: (key, value, ttl) => host.cacheSave(String(key), text(value), ttl === undefined ? -1 : Number(ttl)),
    delete: (key) => host.cacheRemove(String(key)),
  };
  return {
    Action, log, cache,
    args: (...list) => new Args(list),
    publish: (to, event, ...args) => command({ publish: { to: target(to), event, args: args.map((arg) => arg ?? null) } }),
    publishVolatile: (to, event, ...args) =>
      command({ publish: { to: target(to), event, args: args.map((arg) => arg ?? null), volatile: true } }),
    dispatch: (to, action) => command({ publish: { to: target(to), action: action ?? null } }),
    join: (to, room) => command({ join: { to: target(to), room } }),
    leave: (to, room) => command({ leave: { to: target(to), room } }),
    disconnect: (to) => command({ disconnect: { to: target(to) } }),
    serverSideEmit: (event, ...args) => serverSideEmit(String(event), args.map((arg) => arg ?? null)),
    sessions: (filter) => JSON.parse(host.sessions(text(filter ?? {}))),
    presence: (room) => JSON.parse(host.presence(String(room))),
    rooms: () => JSON.parse(host.rooms()),
    counter: (name) => ({ inc: (by = 1) => host.count(String(name), Number(by)) }),
  };
})
