// A worker of Temporal with the workflows beside it, which knows nothing of iii.
// Usage: worker.mjs ADDRESS TASK_QUEUE. It prints `ready`, and runs until it is killed.

import { fileURLToPath } from 'node:url';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const [address, taskQueue] = process.argv.slice(2);
Runtime.install({ logger: new DefaultLogger('WARN') });
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
});
console.log('ready');
await worker.run();
