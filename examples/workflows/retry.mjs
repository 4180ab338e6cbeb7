/**
 * Again and again, but not at once: three functions that fail at first, on queues with different rules.
 *
 * How often and how soon is a matter of the queue (`iii-config.yaml`): `max_retries` attempts in all, the
 * waits between them linear, exponential, or exponential with a longest wait. The handlers repeat nothing
 * by themselves; they only throw.
 */

import { registerWorker, TriggerAction } from 'iii-sdk'
import { chainEnded } from './outcome.mjs'

const QUEUES = ['retry-linear', 'retry-exponential', 'retry-capped']

const iii = registerWorker(process.env.III_URL ?? 'ws://127.0.0.1:49134')

/** When each attempt began, by the queue that delivered it. */
const begun = Object.fromEntries(QUEUES.map((queue) => [queue, []]))

// Of its attempts only the last one succeeds: `metadata` tells each which one it is.
iii.registerFunction('weather::fetch', async ({ city }, metadata) => {
  const { queue, attempt, max_attempts } = metadata['iii-temporal']
  begun[queue].push(performance.now())
  if (attempt < max_attempts) throw new Error(`no weather for ${city} yet`)
  return { city, attempt }
})

async function fetchOn(queue) {
  const action = TriggerAction.Enqueue({ queue })
  const message = { function_id: 'weather::fetch', payload: { city: 'Oslo' }, action }
  const { messageReceiptId } = await iii.trigger(message)
  const { chain } = await chainEnded(iii, messageReceiptId)
  const waits = begun[queue].slice(1).map((at, n) => Math.round(at - begun[queue][n]))
  console.log(`${queue.padEnd(18)} ${chain.status} after ${begun[queue].length} attempts, ${waits.join(' ')} ms apart`)
}

for (const queue of QUEUES) await fetchOn(queue)
await iii.shutdown()
