// Runs a worker with the workflow, and one order on it.
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const TASK_QUEUE = 'orders-typescript';
const address = process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233';
const functions = process.env.III_TASK_QUEUE ?? 'iii';

Runtime.install({ logger: new DefaultLogger('WARN') });
const workerConnection = await NativeConnection.connect({ address });
const worker = await Worker.create({
  connection: workerConnection,
  taskQueue: TASK_QUEUE,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
});

const connection = await Connection.connect({ address });
await worker.runUntil(async () => {
  const order = { id: randomUUID().slice(0, 8), article: 'lamp', amount: 40 };
  const result = await new Client({ connection }).workflow.execute('orderWorkflow', {
    args: [order, functions],
    taskQueue: TASK_QUEUE,
    workflowId: `order-${order.id}`,
  });
  console.log(`order done ${result.reservation} ${result.payment}`);
});
await connection.close();
await workerConnection.close();
