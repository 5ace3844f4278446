'use strict'
// The page finds its relay in the browser's storage. This puts the relay that serves it there before the page's own scripts
// are read, unless its user has chosen one.
;(async (scripts) => {
  const KEY = 'persist:redux-devtools'
  const STORES = ['keyvaluepairs', 'local-forage-detect-blob-support']

  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })

  function open(version) {
    const opening = indexedDB.open('localforage', version)
    opening.onupgradeneeded = () => {
      const known = opening.result.objectStoreNames
      for (const store of STORES) if (!known.contains(store)) opening.result.createObjectStore(store)
    }
    return done(opening)
  }

  function seeded(kept) {
    const state = kept ? JSON.parse(kept) : {}
    if (state.connection && JSON.parse(state.connection).type === 'custom') return kept
    const secure = location.protocol === 'https:'
    const port = Number(location.port) || (secure ? 443 : 80)
    const options = { hostname: location.hostname, port, secure }
    return JSON.stringify({
      monitor: JSON.stringify({ selected: 'InspectorMonitor', sliderIsOpen: true, dispatcherIsOpen: false }),
      _persist: JSON.stringify({ version: -1, rehydrated: true }),
      ...state,
      connection: JSON.stringify({ options, type: 'custom' }),
    })
  }

  try {
    // A later version of the page may have raised the number.
    const database = await open(2).catch(() => open())
    const store = database.transaction(STORES[0], 'readwrite').objectStore(STORES[0])
    await done(store.put(seeded(await done(store.get(KEY))), KEY))
    database.close()
  } catch (error) {
    console.warn('The page has to be connected by hand, under Settings, Connection.', error)
  }
  for (const src of scripts) document.body.append(Object.assign(document.createElement('script'), { src, async: false }))
})({{scripts}})
