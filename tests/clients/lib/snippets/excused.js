'use strict'
// The blocks that nobody does in a test, by page and first line, and why. What is a command is checked as far as that goes without running it.

const MEASURES = 'measures for minutes, on a machine that does nothing else'
const BUILDS = 'builds for minutes, or runs the suites, of which this is one'
const ELSEWHERE = 'for a machine of its own; deploy.test.js checks the files with the tools that are here'

/** Commands. */
const COMMANDS = new Map([
  ['docs/CONTRIBUTING.md: cargo test -p polyport-core        # one crate, seconds', BUILDS],
  ['docs/console.md: ssh -L 9900:127.0.0.1:9900 gateway.example', 'for a machine of the reader'],
  ['docs/loadtest.md: cargo build --release -p polyport -p polyport-loadtest', MEASURES],
  ['docs/loadtest.md: polyport-loadtest fanout --protocol ws --address 127.0.0.1:8001 --pid "$(pidof polyport)" --members 1000 --rate 100 --burst 10', MEASURES],
  ['docs/operations.md: cargo build --release && deploy/debian/build              # target/release/polyport_VERSION-1_ARCHITECTURE.deb', ELSEWHERE],
  ['docs/operations.md: docker build -f deploy/docker/Dockerfile -t polyport .    # no shell, no root; deploy/docker/gateway.toml unless another is mounted', ELSEWHERE],
  ['docs/operations.md: kubectl create namespace polyport', ELSEWHERE],
  ['docs/operations.md: deploy/release/build FOLDER       # the same bytes for the same source and compiler, whatever the folder; writes SHA256SUMS', BUILDS],
  ['docs/performance.md: crates/loadtest/peers/install', MEASURES],
  ['docs/performance.md: target/release/polyport-loadtest bench rpc-calls-50 rpc-calls-500 rpc-calls-100 rpc-dispatch --runs 3 --duration 3s --warmup 1s', MEASURES],
  ['docs/performance.md: target/release/polyport-loadtest bench sio-fanout sio-fanout-bursts sio-fanout-full sio-calls-50 sio-calls-500 sio-idle --runs 3', MEASURES],
  ['docs/performance.md: target/release/polyport-loadtest bench nodes nodes-bursts nodes-fanout --runs 2', MEASURES],
  ['docs/performance.md: target/release/polyport-loadtest bench sc-fanout sc-fanout-bursts sc-calls-50 sc-calls-500 sc-idle devtools-relay --runs 2 --duration 4s', MEASURES],
  ['docs/performance.md: target/release/polyport-loadtest watchers --rounds 5', MEASURES],
])

/** What nothing here can read. */
const OTHERS = new Map([
  ['docs/architecture.md:             bytes            frames              calls, joins, publishes        work', 'a drawing'],
  ['docs/operations.md: sources:', 'of Vector, which is in no registry of packages'],
  ['docs/operations.md: [PARSER]', 'of Fluent Bit, likewise; logs.test.js has the records that both read'],
  ["docs/tracing.md: call shout                         a client's call (listener, protocol, action, outcome)", 'a drawing; tracing.test.js compares what hangs together'],
])

module.exports = { COMMANDS, OTHERS }
