import { proxyActivities } from '@temporalio/workflow';

interface Order {
  id: string;
  article: string;
  amount: number;
}

/** Functions of iii, by their ids; workflows know nothing else of them. */
interface Shop {
  'inventory::reserve'(order: Order): Promise<{ reservation: string; article: string }>;
  'payments::charge'(order: Order): Promise<{ payment: string; amount: number }>;
}

/** Reserves and charges an order. */
export async function orderWorkflow(order: Order, functions: string) {
  const shop = proxyActivities<Shop>({
    taskQueue: functions,
    startToCloseTimeout: '30 seconds',
    heartbeatTimeout: '10 seconds',
    retry: { nonRetryableErrorTypes: ['CARD_DECLINED'] },
  });
  const reservation = await shop['inventory::reserve'](order);
  const payment = await shop['payments::charge'](order);
  return { ...reservation, ...payment };
}
