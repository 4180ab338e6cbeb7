// A worker on the Node SDK that subscribes to a durable topic and publishes to it.
// Usage: node_topics.mjs URL. It runs until its standard input is closed.

import { registerWorker } from 'iii-sdk'

const worker = registerWorker(process.argv[2])
const heard = []

worker.registerFunction('node::hear', async (message) => {
  heard.push(message)
  if (message.n === 0 && heard.length === 1) throw new Error('not the first time')
})
worker.registerFunction('node::is-important', async ({ important }) => important)
worker.registerFunction('node::heard', async () => heard)
worker.registerFunction('node::publish', async (data) => {
  const payload = { topic: 'order.created', data }
  const result = await worker.trigger({ function_id: 'iii::durable::publish', payload })
  return { result: result ?? null }
})
worker.registerTrigger({
  type: 'durable:subscriber',
  function_id: 'node::hear',
  config: {
    topic: 'order.created',
    condition_function_id: 'node::is-important',
    queue_config: { type: 'fifo', maxRetries: 1, backoffDelayMs: 10 },
  },
})

process.stdin.resume().on('end', () => process.exit(0))
