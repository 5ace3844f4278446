'use strict'
// Verbs protocol, scenario 14: files, raw and whole, and no way out of their folder.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { publicFolder, verbsListener, BIG, PUBLIC } = require('./lib/verbs')

const MISSING = (count) => `{"error":"Sorry, that file is not found :(","context":"response","messageCount":${count}}`
const SIMPLE = PUBLIC['simple.txt']

describe('files of the verbs protocol', () => {
  let gateway
  let client

  before(async () => {
    const folder = publicFolder()
    fs.symlinkSync('../outside.txt', path.join(folder, 'public', 'leak.txt'))
    fs.symlinkSync('..', path.join(folder, 'public', 'up'))
    fs.symlinkSync('simple.txt', path.join(folder, 'public', 'alias.txt'))
    gateway = await Polyport.start({ listeners: { tcp: verbsListener({ verbs: { files: ['public'] } }) } }, { folder })
  })
  after(() => gateway?.stop())

  const open = async () => {
    client = await LineClient.open({ port: gateway.ports.tcp })
    return client
  }
  const bytes = async (count) => (await client.bytes(count)).toString()

  test('14: the document of the scenario', async () => {
    await open()
    await client.send('file simple.txt')
    assert.equal(await bytes(SIMPLE.length), SIMPLE)
    await client.send('file')
    assert.equal(await bytes(SIMPLE.length), SIMPLE)
    await client.send('file missing.txt')
    assert.equal(await client.next(), MISSING(3))
    await client.send('file ../x')
    assert.equal(await client.next(), MISSING(4))
    await client.send('file big.bin', 'randomNumber')
    assert.ok((await client.bytes(BIG.length)).equals(BIG), 'the file comes whole and first')
    assert.equal(mask(await client.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":6}')
    client.close()
  })

  test('14: files in the order of their requests', async () => {
    await open()
    await client.send('file big.bin', 'file nonewline.txt', 'file simple.txt', 'paramView file')
    assert.ok((await client.bytes(BIG.length)).equals(BIG))
    const both = PUBLIC['nonewline.txt'] + SIMPLE
    assert.equal(await bytes(both.length), both)
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":"simple.txt","messageCount":4}')
    client.close()
  })

  test('14: a broadcast waits until a file is out', async () => {
    await open()
    await client.ask('roomAdd defaultRoom')
    await client.send('file big.bin', 'say defaultRoom behind the file')
    assert.ok((await client.bytes(BIG.length)).equals(BIG))
    assert.equal(JSON.parse(await client.next()).messageCount, 3)
    assert.equal(JSON.parse(await client.next()).message, 'behind the file')
    client.close()
  })

  test('14: empty files, folders, links inside the folder', async () => {
    await open()
    await client.send('file empty.txt', 'file sub', 'file alias.txt', 'file simple.txt extra words')
    const wanted = PUBLIC['sub/index.html'] + SIMPLE + SIMPLE
    assert.equal(await bytes(wanted.length), wanted)
    assert.equal((await client.ask('paramView file')).messageCount, 5)
    client.close()
  })

  test('14: no way out', async () => {
    await open()
    const names = [
      '../outside.txt', 'sub/../../outside.txt', path.join(gateway.folder, 'outside.txt'), 'leak.txt', 'up/outside.txt',
      '../public-secret/secret.txt', '..', '/', '.', 'simple.txt/', 'simple.txt\u0000.png', '%2e%2e/outside.txt', '//outside.txt',
    ]
    for (const [index, name] of names.entries()) {
      await client.send(`file ${name}`)
      assert.equal(await client.next(), MISSING(index + 1), `file ${JSON.stringify(name)}`)
    }
    client.close()
  })

  test('14: a name given by a JSON line', async () => {
    await open()
    await client.send('file')
    assert.equal(await client.next(), MISSING(1), 'no name was given yet')
    await client.send('{"params":{"file":"simple.txt"}}')
    assert.match(await client.next(), /"unknown action or invalid apiVersion"/)
    await client.send('file')
    assert.equal(await bytes(SIMPLE.length), SIMPLE)
    client.close()
  })
})
