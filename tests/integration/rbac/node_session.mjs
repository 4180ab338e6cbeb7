// A session on the Node SDK that asks for what it may not have and shows the error as programs see it.
// Usage: node_session.mjs URL

import { registerWorker } from 'iii-sdk'

const worker = registerWorker(process.argv[2], { workerName: 'guest', otel: { enabled: false } })
try {
  await worker.trigger({ function_id: 'private::x', payload: {} })
} catch (error) {
  const { name, code, function_id, message } = error
  console.log(JSON.stringify({ name, code, function_id, message, text: String(error) }))
}
process.exit(0)
