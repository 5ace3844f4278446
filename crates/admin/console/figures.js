// What can be computed from overviews: sums, rates between two of them, and quantiles. Nothing here touches the page.

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0)

export const sumOf = (counts) => sum(Object.values(counts))

/** All that listeners have counted together. */
export function totals(overview) {
  const { listeners } = overview
  const over = (read) => sum(listeners.map(read))
  return {
    sessions: overview.sessions,
    rooms: sum(overview.realms.map((realm) => realm.rooms)),
    delivered: sum(Object.values(overview.deliveries).map((protocol) => protocol.delivered)),
    published: over((listener) => listener.published),
    calls: over((listener) => sumOf(listener.calls.outcomes)),
    refused: over((listener) => sumOf(listener.refused)),
    received: over((listener) => listener.received_bytes),
    sent: over((listener) => listener.sent_bytes),
  }
}

/** What a counter grew by in each second between two overviews; a counter that began anew has grown by what it is. */
export function growth(before, after, read) {
  if (before === null) return null
  const seconds = (after.at - before.at) / 1000
  const [from, to] = [read(before) ?? 0, read(after) ?? 0]
  if (!(seconds > 0)) return null
  return (to >= from ? to - from : to) / seconds
}

/** Several histograms as one. */
export function joined(durations) {
  const first = durations[0]
  if (first === undefined) return { count: 0, seconds: 0, buckets: [] }
  return {
    count: sum(durations.map((one) => one.count)),
    seconds: sum(durations.map((one) => one.seconds)),
    buckets: first.buckets.map(([bound], at) => [bound, sum(durations.map((one) => one.buckets[at][1]))]),
  }
}

/** What came to a histogram between two looks at it. */
export function since(before, after) {
  if (before === undefined || before.count > after.count) return after
  return {
    count: after.count - before.count,
    seconds: after.seconds - before.seconds,
    buckets: after.buckets.map(([bound, many], at) => [bound, many - before.buckets[at][1]]),
  }
}

/** The time that this part of all took at most, as far as buckets tell; nothing if there was none. */
export function quantile({ count, buckets }, part) {
  if (count === 0) return null
  const wanted = count * part
  let below = 0
  let from = 0
  for (const [bound, many] of buckets) {
    if (many >= wanted) return from + (bound - from) * ((wanted - below) / Math.max(many - below, 1))
    below = many
    from = bound
  }
  return from
}

const callsOf = (overview) => joined(overview.listeners.map((listener) => listener.calls.durations))

/** What a chart shows for the time between two overviews. */
export function pointBetween(before, after, last) {
  const grown = (name) => growth(before, after, (overview) => totals(overview)[name])
  const calls = since(callsOf(before), callsOf(after))
  const sampled = (after.sampled_at - before.sampled_at) / 1000
  const isSampled = sampled > 0 && after.process !== null && before.process !== null
  return {
    at: after.at / 1000,
    sessions: after.sessions,
    delivered: grown('delivered'),
    calls: grown('calls'),
    p99: quantile(calls, 0.99),
    received: grown('received'),
    sent: grown('sent'),
    cpu: isSampled ? (100 * (after.process.cpu_seconds - before.process.cpu_seconds)) / sampled : (last?.cpu ?? null),
    memory: after.process?.resident_bytes ?? null,
  }
}
