/**
 * One way or the other: a small claim is paid at once, a large one goes to somebody who looks at it.
 *
 * The decision is an `if` in a handler, which enqueues what is to come. It is taken once: when the step is
 * done, what it enqueued stands in Temporal and is not decided again.
 */

import { registerWorker, TriggerAction } from 'iii-sdk'
import { chainEnded, printChain } from './outcome.mjs'

const PAID_AT_ONCE_UP_TO = 100

const amount = Number(process.argv[2])
if (!(amount > 0)) {
  console.error('say the amount of the claim, for example: node conditional.mjs 50')
  process.exit(2)
}

const iii = registerWorker(process.env.III_URL ?? 'ws://127.0.0.1:49134')

async function enqueue(function_id, payload) {
  const action = TriggerAction.Enqueue({ queue: 'default' })
  const { messageReceiptId } = await iii.trigger({ function_id, payload, action })
  return messageReceiptId
}

iii.registerFunction('claims::assess', async (claim) => {
  const isSmall = claim.amount <= PAID_AT_ONCE_UP_TO
  await enqueue(isSmall ? 'claims::pay' : 'claims::review', claim)
  return { isSmall }
})

iii.registerFunction('claims::pay', async ({ amount }) => `paid ${amount}`)

iii.registerFunction('claims::review', async ({ amount }) => `somebody looks at ${amount}`)

const receipt = await enqueue('claims::assess', { amount })
printChain(await chainEnded(iii, receipt))
await iii.shutdown()
