// A service behind the gateway, as docs/http-backend.md explains it. Run: APP_SECRET=… PORT=7000 node service.js
const { createHmac, timingSafeEqual } = require('node:crypto');
const http = require('node:http');
const users = { 'ann-1': 'ann', 'bob-2': 'bob' };

function isSigned(header, body) {
  const [time, ...found] = header.split(',').map((part) => part.split('=')[1]);
  const right = createHmac('sha256', process.env.APP_SECRET).update(`${time}.${body}`).digest('hex');
  const same = (hex) => hex?.length === right.length && timingSafeEqual(Buffer.from(hex), Buffer.from(right));
  return Math.abs(Date.now() / 1000 - Number(time)) < 300 && found.some(same);
}

const actions = {
  greet: (session, name) => ({ result: { text: `Hello ${name}, says ${session.identity?.user}` } }),
  count: ({ data }) => ({ result: { count: data.count + 1 }, data: { count: data.count + 1 } }),
  announce: (_, text) => ({ push: [{ publish: { to: { room: 'lobby' }, event: 'news', data: text } }] }),
};

function answer({ request, session, open, call }) {
  if (request === 'open') {
    const user = users[new URL(open.target, 'http://gateway').searchParams.get('token')];
    return user ? { identity: { user }, data: { count: 0 } } : { result: false };
  }
  if (request !== 'call') return {};
  if (!Object.hasOwn(actions, call.action)) return { error: `there is no action ${call.action}` };
  return actions[call.action](session, call.args ? call.args[0] : call.params.value);
}

http.createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  if (!isSigned(request.headers['polyport-signature'] ?? '', body)) return response.writeHead(401).end();
  response.end(JSON.stringify(answer(JSON.parse(body))));
}).listen(process.env.PORT ?? 7000, '127.0.0.1');
