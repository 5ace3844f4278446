// An API whose calls go wrong in every way that a script can.
const startServer = require('socket.red')

startServer(0, () => ({
  api: {
    fine: (value) => value,
    throws: () => {
      throw new Error('it went wrong')
    },
    throwsNull: () => {
      throw null
    },
    never: () => new Promise(() => {}),
    loops: () => {
      for (;;);
    },
    allocates: () => {
      const all = []
      for (;;) all.push(new ArrayBuffer(1 << 20))
    },
    cycle: () => {
      const one = {}
      one.one = one
      return one
    },
  },
}))
