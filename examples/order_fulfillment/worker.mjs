/**
 * An order pipeline as an iii worker: create, validate, charge the payment, ship, announce.
 *
 * Every step is a function that hands the order to the next one through a named queue. How often a step is
 * tried, how long it waits and what runs in order is configured per queue in `iii-config.yaml`; no handler
 * repeats anything by itself. Handlers can be run again at any moment, so each looks at what the order
 * already has before it acts. The README beside this file shows how to run it and what to try.
 */

import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import * as sdk from 'iii-sdk'

const { registerWorker, TriggerAction } = sdk
// Up to 0.11 the SDK exports its logger; later the logger lives in a package of its own.
const { Logger } = 'Logger' in sdk ? sdk : await import('@iii-dev/helpers/observability')

const STALE_AFTER_S = 24 * 60 * 60
const DRAIN_TIMEOUT_MS = 10_000
const SHUTDOWN_TIMEOUT_MS = 2_000
const READY_POLL_MS = 200

/** A step cannot be done for this order; the message says why. */
class OrderError extends Error {}

/** The order breaks a rule of the shop. */
class InvalidOrderError extends OrderError {}

/** The payment provider refused the charge. */
class PaymentDeclinedError extends OrderError {}

/**
 * The orders in iii's state, and the stream on which each can be followed.
 *
 * Update paths are flat keys: iii reads a path as one literal first-level key.
 */
class Orders {
  #call

  constructor(call) {
    this.#call = call
  }

  async create(order) {
    await this.#call('state::set', { scope: 'orders', key: order.order_id, value: order })
  }

  /** Returns the order, or undefined when there is none of that id. */
  async find(orderId) {
    return (await this.#call('state::get', { scope: 'orders', key: orderId })) ?? undefined
  }

  /** Returns an order that must exist; throws an OrderError when there is none. */
  async load(orderId) {
    const order = await this.find(orderId)
    if (!order) throw new OrderError(`order ${orderId} does not exist`)
    return order
  }

  /** Returns all orders, oldest first. */
  async list() {
    return await this.#call('state::list', { scope: 'orders' })
  }

  /** Adds one to the order's payment attempts and returns the order. */
  async countPaymentAttempt(orderId) {
    return await this.#update(orderId, [{ type: 'increment', path: 'payment_attempts', by: 1 }])
  }

  /**
   * Records how a step ended, both in the order and on its stream, and returns the order as it is now.
   *
   * @param {string} orderId
   * @param {string} step its name, also the id of its item in the stream group of the order
   * @param {'done' | 'failed'} outcome
   * @param {object} changes what else changes in the order
   * @param {string} [error] why it failed
   */
  async trackStep(orderId, step, outcome, changes, error) {
    const event = { step, outcome, at: new Date().toISOString(), ...(error && { error }) }
    const fields = { ...changes, updated_at: event.at, last_error: error ?? null }
    const order = await this.#update(orderId, [
      ...Object.entries(fields).map(([path, value]) => ({ type: 'set', path, value })),
      { type: 'append', path: 'history', value: event },
    ])
    const data = { ...event, status: order.status, payment_attempts: order.payment_attempts }
    const group = { stream_name: 'orders', group_id: orderId }
    await this.#call('stream::set', { ...group, item_id: step, data })
    await this.#call('stream::send', { ...group, type: `order.${step}`, data }, TriggerAction.Void())
    return order
  }

  async #update(orderId, ops) {
    const result = await this.#call('state::update', { scope: 'orders', key: orderId, ops })
    if (result.errors) throw new Error(`order ${orderId} was not updated: ${JSON.stringify(result.errors)}`)
    return result.new_value
  }
}

/** Stands for a real payment provider: a charge repeated under one idempotency key is one charge. */
class PaymentProvider {
  #call

  constructor(call) {
    this.#call = call
  }

  /** Charges the order's total and returns the id of the charge, or throws a PaymentDeclinedError. */
  async charge(order, idempotencyKey) {
    const { order_id, payment_attempts: attempt, fail_until_payment_attempt: faults } = order
    if (order.force_payment_failure) {
      throw new PaymentDeclinedError(`payment of order ${order_id} declined: force_payment_failure is set`)
    }
    if (attempt <= faults) {
      throw new PaymentDeclinedError(
        `payment of order ${order_id} declined: attempt ${attempt} of the ${faults} ` +
          'that fail_until_payment_attempt asks to fail',
      )
    }
    const charge_id = `ch_${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 24)}`
    const charge = { charge_id, order_id, amount: order.total }
    await this.#call('state::set', { scope: 'payments', key: idempotencyKey, value: charge })
    return charge_id
  }
}

/** The functions of the pipeline. */
class OrderPipeline {
  #call
  #journal
  #orders
  #payments

  /**
   * @param {Function} call calls a function through iii, as `callsThrough` makes it
   * @param {Logger} journal takes what happens, with the order's id beside every line
   */
  constructor(call, journal) {
    this.#call = call
    this.#journal = journal
    this.#orders = new Orders(call)
    this.#payments = new PaymentProvider(call)
  }

  /** `POST /orders`: store the order and hand it to the pipeline. */
  async create({ body }) {
    if (!isObject(body)) {
      return respond(400, { error: 'the body must be a JSON object with items and total' })
    }
    const order = newOrder(body)
    const { order_id } = order
    await this.#orders.create(order)
    const receipt = await this.#enqueue('orders::validate', 'order-validate', order_id)
    this.#journal.info('order created', { order_id, receipt })
    return respond(202, { order_id, enqueue_receipt_id: receipt })
  }

  /** `GET /orders/:id`: the order with its history. */
  async get(request) {
    const order = await this.#orders.find(request.path_params.id)
    return order ? respond(200, order) : noSuchOrder(request)
  }

  /** `POST /orders/:id/repair-payment`: lift the payment faults, so that a redriven payment succeeds. */
  async repairPayment(request) {
    const order_id = request.path_params.id
    if (!(await this.#orders.find(order_id))) return noSuchOrder(request)
    const order = await this.#orders.trackStep(order_id, 'repair-payment', 'done', {
      force_payment_failure: false,
      fail_until_payment_attempt: 0,
    })
    this.#journal.info('payment faults lifted', { order_id })
    return respond(200, order)
  }

  /** First step: refuse an order that breaks the rules. */
  async validate(job) {
    const order = await this.#orders.load(job.order_id)
    const { order_id } = order
    if (order.status === 'pending') {
      const problems = problemsOf(order)
      if (problems.length > 0) {
        const error = new InvalidOrderError(`order ${order_id} is invalid: ${problems.join('; ')}`)
        throw await this.#failed(order_id, 'validate', error)
      }
      await this.#orders.trackStep(order_id, 'validate', 'done', { status: 'validated' })
      this.#journal.info('order validated', { order_id })
    }
    await this.#enqueue('orders::charge-payment', 'order-payment', order_id)
  }

  /** Second step: charge the order once, however often this runs. SDKs before 0.22 pass no metadata. */
  async chargePayment(job, metadata) {
    const order = await this.#orders.load(job.order_id)
    const { order_id } = order
    if (order.charge_id === null) {
      if (order.status === 'expired') {
        this.#journal.warn('expired order not charged', { order_id })
        return
      }
      await this.#charge(order_id, metadata?.['iii-temporal']?.idempotency_key ?? order_id)
    }
    await this.#enqueue('orders::ship', 'order-ship', order_id)
  }

  /** Last step: ship the paid order and announce it. */
  async ship(job) {
    let order = await this.#orders.load(job.order_id)
    const { order_id } = order
    if (order.tracking_number === null) {
      const tracking_number = trackingNumber(order_id)
      order = await this.#orders.trackStep(order_id, 'ship', 'done', { status: 'shipped', tracking_number })
      this.#journal.info('order shipped', { order_id, tracking_number })
    }
    if (order.status !== 'fulfilled') {
      await this.#announce(order)
      await this.#orders.trackStep(order_id, 'fulfill', 'done', { status: 'fulfilled' })
      this.#journal.info('order fulfilled', { order_id })
    }
  }

  /** Takes `order.fulfilled`, as a shop's mailer would, and counts how often it came. */
  async notify(event) {
    const ops = [
      { type: 'increment', path: 'deliveries', by: 1 },
      { type: 'set', path: 'event', value: event },
    ]
    await this.#call('state::update', { scope: 'notifications', key: event.order_id, ops })
    this.#journal.info('customer notified', { order_id: event.order_id })
  }

  /**
   * Every hour: expire unpaid orders that nothing has happened to for a day.
   * A call by hand may give another age as `older_than_s`.
   */
  async cleanupStale({ older_than_s = STALE_AFTER_S }) {
    const orders = await this.#orders.list()
    const stale = orders.filter((order) => isStale(order, older_than_s)).map((order) => order.order_id)
    for (const order_id of stale) {
      await this.#orders.trackStep(order_id, 'cleanup', 'done', { status: 'expired' })
    }
    this.#journal.info('stale orders expired', { order_ids: stale })
    return { expired: stale }
  }

  async #charge(order_id, idempotencyKey) {
    const order = await this.#orders.countPaymentAttempt(order_id)
    let charge_id
    try {
      charge_id = await this.#payments.charge(order, idempotencyKey)
    } catch (error) {
      throw error instanceof OrderError ? await this.#failed(order_id, 'charge-payment', error) : error
    }
    await this.#orders.trackStep(order_id, 'charge-payment', 'done', { status: 'paid', charge_id })
    this.#journal.info('payment charged', { order_id, charge_id, attempt: order.payment_attempts })
  }

  async #announce({ order_id, total, tracking_number }) {
    const event = { order_id, total, tracking_number }
    await this.#call('publish', { topic: 'order.fulfilled', data: event }, TriggerAction.Void())
  }

  async #failed(order_id, step, error) {
    await this.#orders.trackStep(order_id, step, 'failed', {}, error.message)
    this.#journal.error('step failed', { order_id, step, error: error.message })
    return error
  }

  async #enqueue(functionId, queue, order_id) {
    const accepted = await this.#call(functionId, { order_id }, TriggerAction.Enqueue({ queue }))
    return accepted.messageReceiptId
  }
}

/** Remembers running handlers, so that a stopping worker can let them finish. */
class Drain {
  #running = new Set()

  /** Returns the handler with its runs remembered. */
  counting(handler) {
    return async (...args) => {
      const run = handler(...args)
      this.#running.add(run)
      try {
        return await run
      } finally {
        this.#running.delete(run)
      }
    }
  }

  /** Waits for the running handlers; says whether all of them ended in time. */
  async wait(timeoutMs) {
    const ended = Promise.allSettled(this.#running).then(() => true)
    return await Promise.race([ended, sleep(timeoutMs, false, { ref: false })])
  }
}

/** Returns the order that a request body asks for, before anything happened to it. */
function newOrder(body) {
  const created_at = new Date().toISOString()
  return {
    order_id: randomUUID(),
    status: 'pending',
    items: body.items ?? [],
    total: body.total ?? 0,
    fail_until_payment_attempt: body.fail_until_payment_attempt ?? 0,
    force_payment_failure: body.force_payment_failure ?? false,
    payment_attempts: 0,
    charge_id: null,
    tracking_number: null,
    last_error: null,
    created_at,
    updated_at: created_at,
    history: [],
  }
}

/** Returns what makes the order unacceptable; nothing when it is fine. */
function problemsOf(order) {
  const rules = {
    'items must be a list with at least one item': Array.isArray(order.items) && order.items.length > 0,
    'total must be a positive number': typeof order.total === 'number' && order.total > 0,
    'fail_until_payment_attempt must be a number': typeof order.fail_until_payment_attempt === 'number',
    'force_payment_failure must be true or false': typeof order.force_payment_failure === 'boolean',
  }
  return Object.keys(rules).filter((rule) => !rules[rule])
}

/** Says whether an unpaid order has waited for at least this long. */
function isStale(order, ageS) {
  const waiting = ['pending', 'validated'].includes(order.status) && order.charge_id === null
  return waiting && Date.parse(order.updated_at) <= Date.now() - ageS * 1000
}

/** Returns the carrier's number for the order, the same however often it is asked. */
function trackingNumber(orderId) {
  return `TRK-${orderId.replaceAll('-', '').slice(0, 16).toUpperCase()}`
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns what an `http` trigger turns into an HTTP response. */
function respond(status_code, body) {
  return { status_code, body }
}

function noSuchOrder(request) {
  return respond(404, { error: `order ${request.path_params.id} does not exist` })
}

/**
 * Returns how this worker calls functions. Without an action the call waits for the result; `TriggerAction`
 * says what else there is.
 */
function callsThrough(iii) {
  return (function_id, payload, action) => iii.trigger({ function_id, payload, action })
}

/** Registers the pipeline's functions and what starts them. */
function register(iii, pipeline, drain) {
  const handlers = {
    'orders::create': (request) => pipeline.create(request),
    'orders::get': (request) => pipeline.get(request),
    'orders::repair-payment': (request) => pipeline.repairPayment(request),
    'orders::validate': (job) => pipeline.validate(job),
    'orders::charge-payment': (job, metadata) => pipeline.chargePayment(job, metadata),
    'orders::ship': (job) => pipeline.ship(job),
    'orders::notify': (event) => pipeline.notify(event),
    'orders::cleanup-stale': (tick) => pipeline.cleanupStale(tick),
  }
  const triggers = [
    ['http', 'orders::create', { api_path: '/orders', http_method: 'POST' }],
    ['http', 'orders::get', { api_path: '/orders/:id', http_method: 'GET' }],
    ['http', 'orders::repair-payment', { api_path: '/orders/:id/repair-payment', http_method: 'POST' }],
    ['subscribe', 'orders::notify', { topic: 'order.fulfilled' }],
    ['cron', 'orders::cleanup-stale', { expression: '0 0 * * * * *' }],
  ]
  const functions = Object.entries(handlers).map(([id, handler]) =>
    iii.registerFunction(id, drain.counting(handler)),
  )
  for (const [type, function_id, config] of triggers) iii.registerTrigger({ type, function_id, config })
  return functions
}

/** Waits until iii lists the functions; says whether it does, which it may not before `stop` is aborted. */
async function waitUntilRegistered(call, functionIds, stop, journal) {
  while (!stop.aborted) {
    try {
      const { functions } = await call('engine::functions::list', { prefix: 'orders::' })
      const listed = new Set(functions.map((row) => row.function_id))
      if (functionIds.every((id) => listed.has(id))) return true
    } catch (error) {
      if (!stop.aborted) journal.warn('iii does not list the functions yet', { error: error.message })
    }
    await sleep(READY_POLL_MS)
  }
  return false
}

/** Resolves when the signal is aborted. */
function aborted(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', resolve, { once: true })
  })
}

/** Serves the pipeline until SIGTERM or SIGINT, then finishes what runs and leaves. */
async function main() {
  const stopping = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => stopping.abort())

  const iii = registerWorker(process.env.III_URL ?? 'ws://127.0.0.1:49134', {
    workerDescription: 'Order pipeline: validate, charge, ship',
  })
  const call = callsThrough(iii)
  const journal = new Logger(undefined, 'order-fulfillment')
  const drain = new Drain()
  const functions = register(iii, new OrderPipeline(call, journal), drain)
  const functionIds = functions.map((ref) => ref.id)
  waitUntilRegistered(call, functionIds, stopping.signal, journal).then((registered) => {
    if (registered) console.log('worker ready')
  })
  await aborted(stopping.signal)

  for (const ref of functions) ref.unregister() // no new work; iii-temporal keeps the jobs meanwhile
  if (!(await drain.wait(DRAIN_TIMEOUT_MS))) {
    journal.warn('handlers still running at exit; their jobs will be delivered again')
  }
  // While iii is away the SDK would wait for it to come back and take the last telemetry.
  await Promise.race([iii.shutdown(), sleep(SHUTDOWN_TIMEOUT_MS)])
  process.exit()
}

await main()
