// Numbers, times and names as people read them.

const UNKNOWN = '–'

const whole = new Intl.NumberFormat('en')
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const timeOfDay = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' })
const dayAndTime = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })

export const count = (value) => (value === null || value === undefined ? UNKNOWN : whole.format(value))

export const rate = (value) => (value === null || value === undefined ? UNKNOWN : value >= 1000 ? whole.format(Math.round(value)) : three.format(value))

export const perSecond = (value) => `${rate(value)}/s`

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let size = value
  let unit = 0
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit += 1
  }
  return `${three.format(size)} ${units[unit]}`
}

export const percent = (value) => (value === null || value === undefined ? UNKNOWN : `${three.format(value)} %`)

/** Seconds as a time that something took. */
export function took(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN
  if (seconds < 0.001) return `${three.format(seconds * 1e6)} µs`
  if (seconds < 1) return `${three.format(seconds * 1e3)} ms`
  return `${three.format(seconds)} s`
}

/** Seconds as an age, in its two largest units. */
export function age(seconds) {
  const units = [['d', 86_400], ['h', 3_600], ['m', 60], ['s', 1]]
  let rest = Math.max(0, Math.floor(seconds))
  const parts = []
  for (const [unit, size] of units) {
    const many = Math.floor(rest / size)
    rest -= many * size
    if (many > 0 || parts.length > 0 || size === 1) parts.push(`${many}${unit}`)
  }
  return parts.slice(0, 2).join(' ')
}

export const time = (millis) => timeOfDay.format(new Date(millis))

export const date = (millis) => dayAndTime.format(new Date(millis))

export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`

/** A label of the API's, such as `too_many_pending`, as words. */
export const words = (label) => label.replaceAll('_', ' ')
