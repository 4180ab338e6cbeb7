// Orders whose handlers go on when told, also after their attempts were given up.
// Usage: late.mjs URL DIRECTORY. The handler of order M waits for the file `go-M-1` in the directory, or in every
// later attempt for `go-M-2`, and everything is noted in the file `notes` there. It runs until it is killed.

import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { registerWorker, TriggerAction } from 'iii-sdk'

const [url, directory] = process.argv.slice(2)
const worker = registerWorker(url, {
  workerName: 'late',
  reconnectionConfig: { initialDelayMs: 20, maxDelayMs: 100 },
})

function note(what, more) {
  appendFileSync(`${directory}/notes`, `${JSON.stringify({ what, ...more })}\n`)
}

async function order({ order }, metadata) {
  const { attempt } = metadata['iii-temporal']
  note('began', { order, attempt })
  while (!existsSync(`${directory}/go-${order}-${Math.min(attempt, 2)}`)) await sleep(20)
  try {
    const { messageReceiptId: receipt } = await worker.trigger({
      function_id: 'late::charge',
      payload: { order },
      action: TriggerAction.Enqueue({ queue: 'charges' }),
    })
    note('enqueued', { order, attempt, receipt })
  } catch (error) {
    note('refused', { order, attempt, error: error.message })
    throw error
  }
}

const handlers = {
  order,
  order_over_a_hop: (data, metadata) =>
    worker.trigger({
      function_id: 'late::hop',
      payload: { order: data.order, attempt: metadata['iii-temporal'].attempt },
    }),
  hop: (data) => order(data, { 'iii-temporal': { attempt: data.attempt } }),
  charge: async ({ order }, metadata) => {
    note('charged', { order, receipt: metadata['iii-temporal'].receipt })
  },
}
for (const [name, handler] of Object.entries(handlers)) worker.registerFunction(`late::${name}`, handler)
