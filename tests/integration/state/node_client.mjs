// A worker on the Node SDK that makes the calls it is told to and notes what reaches it.
// Usage: node_client.mjs URL. It runs until its standard input is closed.

import { registerWorker, TriggerAction } from 'iii-sdk'
import { createStream } from 'iii-sdk/helpers'
import { StateEventType } from 'iii-sdk/state'

const worker = registerWorker(process.argv[2])

// Every test binds what it needs by these two; `what` tells whose events are asked for.
const noted = {}
const triggers = {}

worker.registerFunction('node::watch', ({ what, type, config, condition, answer }) => {
  noted[what] = []
  worker.registerFunction(`node::on-${what}`, async (event) => {
    noted[what].push(event)
    return answer
  })
  const isWanted = { created: (event) => event.event_type === StateEventType.Created }[condition]
  if (isWanted) {
    worker.registerFunction(`node::is-${condition}`, async (event) => isWanted(event))
    config.condition_function_id = `node::is-${condition}`
  }
  triggers[what] = worker.registerTrigger({ type, function_id: `node::on-${what}`, config })
})

worker.registerFunction('node::unwatch', ({ what }) => triggers[what].unregister())

worker.registerFunction('node::noted', ({ what }) => noted[what])

// JSON has no `undefined`, so the kind of the result is told beside it.
worker.registerFunction('node::call', async ({ function_id, payload, isVoid }) => {
  const action = isVoid ? TriggerAction.Void() : undefined
  try {
    const result = await worker.trigger({ function_id, payload, action })
    return { kind: result === null ? 'null' : typeof result, result }
  } catch (error) {
    return { kind: 'error', code: error.code, message: error.message }
  }
})

const stock = new Map()

createStream(worker, 'inventory', {
  get: async ({ item_id }) => stock.get(item_id) ?? null,
  set: async ({ item_id, data }) => {
    const old_value = stock.get(item_id)
    stock.set(item_id, data)
    return { old_value, new_value: data }
  },
  delete: async ({ item_id }) => {
    const old_value = stock.get(item_id)
    stock.delete(item_id)
    return { old_value }
  },
  list: async () => [...stock.values()],
  listGroups: async () => ['eu'],
  update: async () => {
    throw new Error('no SDK registers it')
  },
})

worker.registerFunction('node::stock', () => Object.fromEntries(stock))

process.stdin.resume().on('end', () => process.exit(0))
