/**
 * An order that cannot be shipped: what was done for it is undone, the latest first.
 *
 * `orders::create` and `inventory::reserve` say where they are registered what undoes them. What undoes a
 * payment is known only once there is a charge, so `payments::charge` says it then, by `chain::compensate`.
 *
 * Every step passes its `idempotency_key` on to whom it asks, here the keys of three ledgers: it is the same
 * however often the step is tried, so nothing is reserved, charged or refunded twice.
 */

import { registerWorker, TriggerAction } from 'iii-sdk'
import { chainEnded, printChain } from './outcome.mjs'

const QUEUE = 'orders'
const [orders, reservations, charges] = [new Map(), new Map(), new Map()]

const iii = registerWorker(process.env.III_URL ?? 'ws://127.0.0.1:49134')

async function enqueue(function_id, payload) {
  const { messageReceiptId } = await iii.trigger({
    function_id,
    payload,
    action: TriggerAction.Enqueue({ queue: QUEUE }),
  })
  return messageReceiptId
}

const keyOf = (metadata) => metadata['iii-temporal'].idempotency_key

iii.registerFunction(
  'orders::create',
  async (order, metadata) => {
    orders.set(keyOf(metadata), order)
    await enqueue('inventory::reserve', order)
    return { order: keyOf(metadata) }
  },
  { metadata: { compensate: 'orders::cancel' } },
)

iii.registerFunction(
  'inventory::reserve',
  async (order, metadata) => {
    reservations.set(keyOf(metadata), order.sku)
    await enqueue('payments::charge', order)
    return { reservation: keyOf(metadata) }
  },
  { metadata: { compensate: 'inventory::release' } },
)

iii.registerFunction('payments::charge', async (order, metadata) => {
  const charge = keyOf(metadata)
  const refund = { function_id: 'payments::refund', payload: { charge }, queue: QUEUE }
  await iii.trigger({ function_id: 'chain::compensate', payload: refund })
  charges.set(charge, order.total)
  await enqueue('shipments::create', order)
  return { charge }
})

iii.registerFunction('shipments::create', async ({ to }) => {
  throw new Error(`no carrier goes to ${to}`)
})

// A declared compensation is given the input and the result of the step it undoes, the one by
// `chain::compensate` what that was given. Like any step it may run again, so each may find nothing to do.
iii.registerFunction('orders::cancel', async ({ result }) => ({ cancelled: orders.delete(result.order) }))
iii.registerFunction('inventory::release', async ({ result }) => ({
  released: reservations.delete(result.reservation),
}))
iii.registerFunction('payments::refund', async ({ charge }) => ({ refunded: charges.delete(charge) }))

const receipt = await enqueue('orders::create', { sku: 'mug', total: 42, to: 'the moon' })
printChain(await chainEnded(iii, receipt))
console.log(`left: ${orders.size} orders, ${reservations.size} reservations, ${charges.size} charges`)
await iii.shutdown()
