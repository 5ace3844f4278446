// Which view the address means: `#/rooms/default/lobby?x=y` is the view `rooms` with two parts and parameters.

/** The views, in the order of the menu. */
export const VIEWS = {
  overview: 'Overview',
  sessions: 'Sessions',
  rooms: 'Rooms',
  calls: 'Calls',
  cluster: 'Cluster',
  trouble: 'Trouble',
  tap: 'Tap',
  operations: 'Operations',
}

export function readRoute(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?')
  const [view, ...parts] = path.split('/').map(decode)
  return {
    view: view in VIEWS ? view : 'overview',
    parts: parts.filter((part) => part !== ''),
    parameters: Object.fromEntries(new URLSearchParams(query)),
  }
}

export function link(view, parts = [], parameters = {}) {
  const path = [view, ...parts].map(encodeURIComponent).join('/')
  const given = Object.entries(parameters).filter(([, value]) => value)
  return `#/${path}${given.length === 0 ? '' : `?${new URLSearchParams(given)}`}`
}

function decode(part) {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
