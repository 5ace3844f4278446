'use strict'
// A collector of traces: takes OTLP over HTTP and reads it by OpenTelemetry's own definitions, as strictly as these allow.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { until } = require('./wait')

// The package gives the definitions to its own exporters alone.
const transformer = path.dirname(require.resolve('@opentelemetry/otlp-transformer/package.json'))
const generated = path.join(transformer, 'build', 'src', 'generated', 'root.js')
const { opentelemetry } = require(generated)
const { ExportTraceServiceRequest, ExportTraceServiceResponse } = opentelemetry.proto.collector.trace.v1
const { SpanKind } = opentelemetry.proto.trace.v1.Span

/** A field that is not there is nothing. */
const hex = (bytes) => Buffer.from(bytes ?? []).toString('hex')

const attributes = (pairs) => Object.fromEntries(pairs.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]))

/** A span as tests want to see it. */
function plain(span, resource) {
  return {
    trace: hex(span.traceId),
    id: hex(span.spanId),
    parent: hex(span.parentSpanId),
    state: span.traceState ?? '',
    name: span.name,
    kind: SpanKind[span.kind].replace('SPAN_KIND_', ''),
    start: BigInt(span.startTimeUnixNano.toString()),
    end: BigInt(span.endTimeUnixNano.toString()),
    attributes: attributes(span.attributes),
    error: span.status?.code === 2 ? span.status.message : null,
    flags: span.flags,
    resource,
  }
}

/** What a body holds. Nothing in it may be unknown to the definitions: written again it is the same. */
function read(body) {
  const request = ExportTraceServiceRequest.decode(body)
  assert.deepEqual(Buffer.from(ExportTraceServiceRequest.encode(request).finish()), body)
  return request.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) => {
      assert.equal(scope.name, 'polyport')
      return spans.map((span) => plain(span, attributes(resource.attributes)))
    }),
  )
}

class Collector {
  static async start() {
    const collector = new Collector()
    await new Promise((resolve) => collector.server.listen(0, '127.0.0.1', resolve))
    collector.port = collector.server.address().port
    collector.endpoint = `http://127.0.0.1:${collector.port}`
    return collector
  }

  constructor() {
    this.spans = []
    this.requests = []
    /** How requests are answered: a status with headers and the number of spans that are rejected, or `null` for never. */
    this.answer = () => ({ status: 200 })
    this.server = http.createServer((request, response) => {
      const parts = []
      request.on('data', (part) => parts.push(part))
      request.on('end', () => this.take(request, Buffer.concat(parts), response))
    })
  }

  take(request, body, response) {
    const { method, url, headers } = request
    const answer = this.answer(this.requests.length)
    let spans
    try {
      spans = read(body)
    } catch (error) {
      this.failure ??= error
      spans = []
    }
    this.requests.push({ method, url, headers, spans: spans.length })
    if (!answer) return
    if (answer.status === 200) this.spans.push(...spans)
    response.writeHead(answer.status, { 'content-type': 'application/x-protobuf', ...answer.headers })
    const partialSuccess = answer.rejected ? { rejectedSpans: answer.rejected, errorMessage: 'too old' } : undefined
    response.end(ExportTraceServiceResponse.encode({ partialSuccess }).finish())
  }

  /** Waits for a span that has this name and these attributes. */
  async span(name, wanted = {}, extra = () => true) {
    const fits = (span) =>
      span.name === name && Object.entries(wanted).every(([key, value]) => span.attributes[key] === value) && extra(span)
    return until(
      () => `the span ${name} ${JSON.stringify(wanted)}; there are ${this.spans.map((span) => `\n${span.name} ${JSON.stringify(span.attributes)} ${span.error}`)}`,
      () => {
        if (this.failure) throw this.failure
        return this.spans.find(fits)
      },
    )
  }

  async stop() {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
    if (this.failure) throw this.failure
  }
}

module.exports = { Collector }
