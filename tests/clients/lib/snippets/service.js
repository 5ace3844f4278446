'use strict'
// A service that a gateway asks: it keeps what it was asked, and answers with the text of a page.

const http = require('node:http')

/** Listens at what the page calls port `shown`. `answer` makes of each request's object a text. */
async function service(stage, shown, answer) {
  const requests = []
  const server = http.createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    requests.push({ headers: request.headers, body, asked: JSON.parse(body) })
    response.end(answer(requests.at(-1).asked))
  })
  const port = await stage.port(shown)
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  stage.ends.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return requests
}

module.exports = { service }
