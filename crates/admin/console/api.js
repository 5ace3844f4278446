// The server API as the page uses it.

/** Time for an answer. */
const LIMIT = 10_000

/**
 * What went wrong: the API's own `code`, `message` and `problems`, or `unreachable` when there was no answer; and after how many
 * seconds it may be tried again, if the API says so.
 */
export class ApiError extends Error {
  constructor(status, code, message, { retryAfter = null, problems = [] } = {}) {
    super(message)
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
    this.problems = problems
  }
}

/** Only parameters that have a value. */
function search(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

async function refusal(response) {
  const text = await response.text()
  const retryAfter = Number(response.headers.get('retry-after')) || null
  try {
    const { code, message, problems } = JSON.parse(text).error
    return new ApiError(response.status, code, message, { retryAfter, problems })
  } catch {
    return new ApiError(response.status, 'no_api', text.trim() || `the gateway answered ${response.status}`, { retryAfter })
  }
}

export class Api {
  constructor(key) {
    this.key = key
  }

  get(path, parameters = {}) {
    return this.#answer(path + search(parameters), {}, AbortSignal.timeout(LIMIT))
  }

  /** `body` is JSON text: what a person has written reaches clients digit by digit. */
  post(path, body, limit = LIMIT) {
    const headers = { 'content-type': 'application/json' }
    return this.#answer(path, { method: 'POST', headers, body }, AbortSignal.timeout(limit))
  }

  /** Opens an endless answer of one JSON value in each line; gives its values, one after the other, until `signal`. */
  async open(path, parameters, signal) {
    const response = await this.#ask(path + search(parameters), {}, signal)
    return values(response.body, signal)
  }

  async #answer(path, options, signal) {
    const response = await this.#ask(path, options, signal)
    return response.json()
  }

  async #ask(path, options, signal) {
    const headers = { ...options.headers, authorization: `Bearer ${this.key}` }
    let response
    try {
      response = await fetch(path, { ...options, headers, signal, cache: 'no-store', credentials: 'omit' })
    } catch (error) {
      if (error.name === 'AbortError') throw error
      throw new ApiError(0, 'unreachable', 'The gateway does not answer.')
    }
    if (!response.ok) throw await refusal(response)
    return response
  }
}

/** A line that is longer than this is no event. */
const MAX_LINE = 4 << 20

/** An endless answer has a line every ten seconds or so; whoever is silent for longer than this is gone. */
const SILENCE = 30_000

/** Numbers that would not be written again as they came stay as they are, where the browser can do that. */
const exactly = (_, value, context) =>
  typeof value === 'number' && context !== undefined && JSON.rawJSON !== undefined && String(value) !== context.source ? JSON.rawJSON(context.source) : value

async function read(reader) {
  let timer
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new ApiError(0, 'unreachable', 'The gateway is silent.')), SILENCE)
  })
  try {
    return await Promise.race([reader.read(), silence])
  } finally {
    clearTimeout(timer)
  }
}

async function* values(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await read(reader)
      if (done) return
      const lines = (rest + value).split('\n')
      rest = lines.pop()
      if (rest.length > MAX_LINE) throw new ApiError(0, 'too_long', 'The gateway sends a line without an end.')
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line, exactly)
    }
  } catch (error) {
    if (signal.aborted) return
    if (error instanceof TypeError) throw new ApiError(0, 'unreachable', 'The connection to the gateway has ended.')
    throw error
  } finally {
    reader.cancel().catch(() => {})
  }
}
