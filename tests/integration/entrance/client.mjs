// A worker on the Node SDK; it reads III_TOKEN itself, as that SDK does not.
// Usage: client.mjs URL. It runs until its standard input is closed.

import { registerWorker } from 'iii-sdk'

const token = process.env.III_TOKEN
const worker = registerWorker(process.argv[2], {
  workerName: 'node',
  headers: token ? { authorization: `Bearer ${token}` } : {},
})
worker.registerFunction('node::echo', async (data) => ({ echo: data.n }))
process.stdin.on('end', () => process.exit(0)).resume()
