import { condition, defineQuery, defineSignal, defineUpdate, proxyActivities, setHandler } from '@temporalio/workflow';

interface Functions {
  'client::echo'(data: unknown): Promise<unknown>;
  'client::fail'(data: unknown): Promise<never>;
}

const approve = defineSignal('approve');
const name = defineQuery<string, [string]>('name');
const rename = defineUpdate<string, [string]>('rename');

/** Waits for an approval, then has a function of iii echo the order; one that is to fail has it fail. */
export async function approvalWorkflow(order: { fail?: boolean }, functions: string) {
  let current = 'unnamed';
  let isApproved = false;
  setHandler(approve, () => {
    isApproved = true;
  });
  setHandler(name, (suffix) => current + suffix);
  setHandler(rename, (wanted) => {
    const before = current;
    current = wanted;
    return before;
  });
  await condition(() => isApproved);
  const iii = proxyActivities<Functions>({
    taskQueue: functions,
    startToCloseTimeout: '30 seconds',
    heartbeatTimeout: '10 seconds',
    retry: { nonRetryableErrorTypes: ['invocation_failed'] },
  });
  if (order.fail) await iii['client::fail']({ what: 'this' });
  return { name: current, echoed: await iii['client::echo'](order) };
}
