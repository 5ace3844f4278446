// A live chart of what the page has seen, drawn by uPlot.
//
// `series` are the names of what is shown in the points of `history`, each with a label and the variable of its colour; `least` is
// what the chart reaches up to at least.

import { time } from './format.js'
import { Component, createRef, html } from './parts.js'

const HEIGHT = 110

/** Seconds that a chart shows at least. */
const SHORTEST = 60

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

export class Chart extends Component {
  place = createRef()

  componentDidMount() {
    this.watcher = new ResizeObserver(([entry]) => this.plot?.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT }))
    this.watcher.observe(this.place.current)
    this.dark = matchMedia('(prefers-color-scheme: dark)')
    this.dark.addEventListener('change', this.draw)
    this.draw()
  }

  componentDidUpdate(before) {
    if (before.theme !== this.props.theme) this.draw()
    else this.plot.setData(this.columns())
  }

  componentWillUnmount() {
    this.watcher.disconnect()
    this.dark.removeEventListener('change', this.draw)
    this.plot.destroy()
  }

  columns() {
    const { history, series } = this.props
    return [history.map((point) => point.at), ...series.map(({ name }) => history.map((point) => point[name]))]
  }

  draw = () => {
    this.plot?.destroy()
    const { series, format, least } = this.props
    const ink = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' }
    const lines = series.map(({ label, ink: name }) => ({ label, stroke: colour(name), width: 1.5, points: { show: false } }))
    const options = {
      width: this.place.current.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_, first, last) => [Math.min(first ?? 0, (last ?? 0) - SHORTEST), last ?? SHORTEST] },
        y: { range: (_, low, high) => [0, Math.max(high ?? 0, least) * 1.15] },
      },
      axes: [
        { ...ink, size: 22, space: 80, values: (_, times) => times.map((at) => time(at * 1000)) },
        { ...ink, size: 62, space: 30, values: (_, values) => values.map(format) },
      ],
      series: [{}, ...lines],
    }
    this.plot = new window.uPlot(options, this.columns(), this.place.current)
  }

  /** The chart in words, for those who do not see it. */
  words() {
    const { history, series, format } = this.props
    return series.map(({ name, label }) => {
      const seen = history.map((point) => point[name]).filter((value) => value !== null)
      if (seen.length === 0) return `${label}: nothing yet`
      return `${label}: now ${format(seen.at(-1))}, between ${format(Math.min(...seen))} and ${format(Math.max(...seen))}`
    })
  }

  render({ title, series, format, history }) {
    const last = history.at(-1)
    return html`
      <figure class="tile" data-chart=${title}>
        <figcaption>
          <span class="title">${title}</span>
          ${series.map(({ name, label, ink }) => html`
            <span key=${name} class="now">
              ${series.length > 1 && html`<span class="key ${ink.slice(2)}" aria-hidden="true"></span><span class="label">${label} </span>`}
              <strong data-now=${name}>${format(last?.[name] ?? null)}</strong>
            </span>
          `)}
        </figcaption>
        <div class="plot" ref=${this.place} aria-hidden="true"></div>
        <p class="unseen">${this.words().join('; ')}</p>
      </figure>
    `
  }
}
