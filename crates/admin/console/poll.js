// Doing something again and again while somebody looks: never twice at once, not while the page is hidden, and less and
// less often while it fails.

const INTERVAL = 2_000
const LONGEST = 30_000

export class Poll {
  #task
  #interval
  #failures = 0
  /** What the gateway wants to be left in peace for, in milliseconds. */
  #asked = 0
  #timer = null
  #isBusy = false
  #isStopped = true

  /** `task` returns a promise; when that fails the next turn comes later. */
  constructor(task, interval = INTERVAL) {
    this.#task = task
    this.#interval = interval
  }

  start() {
    this.#isStopped = false
    document.addEventListener('visibilitychange', this.#look)
    return this.now()
  }

  stop() {
    this.#isStopped = true
    clearTimeout(this.#timer)
    document.removeEventListener('visibilitychange', this.#look)
  }

  /** Until the next turn, in milliseconds. */
  get #pause() {
    return Math.max(Math.min(this.#interval * 2 ** this.#failures, LONGEST), this.#asked)
  }

  async now() {
    clearTimeout(this.#timer)
    if (this.#isBusy || this.#isStopped) return
    this.#isBusy = true
    try {
      await this.#task()
      this.#failures = 0
      this.#asked = 0
    } catch (error) {
      // Whoever gave the task has shown what is wrong.
      this.#failures += 1
      this.#asked = (error.retryAfter ?? 0) * 1000
    } finally {
      this.#isBusy = false
    }
    if (!this.#isStopped && !document.hidden) this.#timer = setTimeout(() => this.now(), this.#pause)
  }

  #look = () => {
    if (document.hidden) clearTimeout(this.#timer)
    else this.now()
  }
}
