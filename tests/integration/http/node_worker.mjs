// A worker on the Node SDK that streams over HTTP and through channels.
// Usage: node_worker.mjs URL. It runs until its standard input is closed.

import { createHash } from 'node:crypto'
import { http } from '@iii-dev/helpers/http'
import { registerWorker } from 'iii-sdk'
import { createChannel } from 'iii-sdk/helpers'

const worker = registerWorker(process.argv[2])

function route(path, method, handler) {
  const id = `node::${method}::${path}`
  worker.registerFunction(id, handler)
  worker.registerTrigger({ type: 'http', function_id: id, config: { api_path: path, http_method: method } })
}

route('/node/plain', 'POST', async (req) => ({ status_code: 201, body: { got: req.body } }))

// `end` is not awaited: the result without a value arrives before the channel is even connected.
route('/node/late', 'GET', http(async (_, res) => {
  res.status(206)
  res.headers({ 'content-type': 'text/plain' })
  res.stream.end('streamed late')
}))

route('/node/empty', 'GET', http(async (_, res) => {
  res.status(202)
  res.close()
}))

route('/node/upload', 'POST', http(async (req) => {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of req.request_body.stream) {
    size += chunk.length
    hash.update(chunk)
  }
  return { body: { size, sha: hash.digest('hex') } }
}))

worker.registerFunction('node::count', async ({ reader, writer }) => {
  const messages = []
  reader.onMessage((message) => messages.push(message))
  const content = await reader.readAll()
  writer.sendMessage(JSON.stringify({ messages, size: content.length }))
  writer.stream.end(Buffer.from('done'))
  return { status: 'done' }
})

worker.registerFunction('node::channels', async () => {
  const there = await createChannel(worker)
  const back = await createChannel(worker, 2048)
  there.writer.sendMessage('hello')
  there.writer.stream.write(Buffer.alloc(130 * 1024, 1))
  there.writer.stream.end()
  const result = await worker.trigger({
    function_id: 'node::count',
    payload: { reader: there.readerRef, writer: back.writerRef },
  })
  const messages = []
  back.reader.onMessage((message) => messages.push(message))
  const content = await back.reader.readAll()
  return { result, messages, content: content.toString() }
})

process.stdin.resume().on('end', () => process.exit(0))
