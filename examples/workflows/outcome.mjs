/** How a chain went: what the programs beside this file print when they are done. */

import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 100
const OPEN = ['running', 'compensating']

/** Returns what `chain::get` answers once the chain of a message has ended. */
export async function chainEnded(iii, receipt) {
  while (true) {
    const found = await iii.trigger({ function_id: 'chain::get', payload: { receipt } })
    if (!OPEN.includes(found.chain.status)) return found
    await sleep(POLL_MS)
  }
}

/** Prints a chain: a line for every step in the order in which they were enqueued, and how it ended. */
export function printChain({ chain, steps }) {
  for (const { function_id, status, detail, result } of steps) {
    console.log(function_id.padEnd(20), status.padEnd(10), detail || JSON.stringify(result))
  }
  console.log(`chain ${chain.status}`)
}
