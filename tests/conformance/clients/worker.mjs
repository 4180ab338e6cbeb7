// A worker on whatever iii SDK lies beside it; the test drives it through the functions it offers.
// Usage: worker.mjs URL NAME SDK_VERSION. It runs until its standard input is closed.

import { registerWorker, TriggerAction } from 'iii-sdk'

const [url, name, version] = process.argv.slice(2)
const [, minor] = version.split('.').map(Number)

const worker = registerWorker(url, {
  workerName: name,
  invocationTimeoutMs: 20_000,
  otel: { metricsExportIntervalMs: 500 },
  reconnectionConfig: { initialDelayMs: 20, maxDelayMs: 100 },
})

const bound = {}
const removed = []
const triggers = {}
let noted = []
let temporary

const provider = {
  async registerTrigger(config) {
    if (config.config?.refuse) throw new Error('refused by the provider')
    bound[config.id] = { function_id: config.function_id, config: config.config }
  },
  async unregisterTrigger(config) {
    delete bound[config.id]
    removed.push(config.id)
  },
}

function actionOf(data) {
  if (data.queue) return TriggerAction.Enqueue({ queue: data.queue })
  return data.void ? TriggerAction.Void() : undefined
}

function trigger(data) {
  return worker.trigger({
    function_id: data.function_id,
    payload: data.payload,
    action: actionOf(data),
    ...(data.metadata === undefined ? {} : { metadata: data.metadata }),
  })
}

const handlers = {
  echo: async (data) => data,
  echo_sync: (data) => data,
  nothing: async () => undefined,
  fail: async (data) => {
    throw new TypeError(`cannot take ${data.what}`)
  },
  large: async (data) => 'x'.repeat(data.bytes),
  length: async (data) => data.text.length,
  call: async (data) => {
    if (data.pause_s) await new Promise((resolve) => setTimeout(resolve, data.pause_s * 1000))
    try {
      return { result: await trigger(data) }
    } catch (error) {
      return { code: error.code, message: error.message }
    }
  },
  note: async (data) => {
    noted.push(data)
  },
  notes: async () => {
    const taken = noted
    noted = []
    return taken
  },
  bind: async (data) => {
    const { _caller_worker_id, ...trigger } = data
    triggers[data.function_id] = worker.registerTrigger(trigger)
  },
  unbind: async (data) => {
    triggers[data.function_id].unregister()
  },
  fire: async (data) => {
    for (const { function_id } of Object.values(bound)) await trigger({ function_id, payload: data, void: true })
    return Object.keys(bound).length
  },
  provided: async () => ({ bound, removed }),
  withdraw: async () => {
    temporary.unregister()
  },
  temporary: async () => 'here',
}
if (minor >= 22) handlers.withmetadata = async (data, metadata) => ({ data, metadata })
if (minor < 10) {
  handlers.lists = async () => ({
    functions: (await worker.listFunctions()).map((each) => each.function_id),
    workers: (await worker.listWorkers()).map((each) => each.name),
    triggers: (await worker.listTriggers(true)).map((each) => each.trigger_type),
  })
  handlers.watch_functions = async () => {
    worker.onFunctionsAvailable((functions) => noted.push(functions.map((each) => each.function_id)))
  }
}

worker.registerTriggerType({ id: `${name}::type`, description: 'A type of the test' }, provider)
for (const [key, handler] of Object.entries(handlers)) {
  const id = `${name}::${key}`
  const offered =
    minor < 11
      ? worker.registerFunction({ id, description: 'd' }, handler)
      : worker.registerFunction(id, handler, { description: 'd' })
  if (key === 'temporary') temporary = offered
}

process.stdin.resume()
process.stdin.on('end', async () => {
  await worker.shutdown()
  process.exit(0)
})
