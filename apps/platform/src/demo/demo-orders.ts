/**
 * Sample orders that live while somebody watches: every few seconds one is posted, and everybody does what he has to do after as long
 * as that takes, by the clock of the demo. Declined cards, parts that are not right, disputes and a provider in trouble are among it.
 */
import { dayIn } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { OrderState } from '../orders/order-states.ts';
import type { Order } from '../orders/orders.ts';
import { sampleData } from './sample-data.ts';
import { NotEmptyError, storeSamples } from './sample-store.ts';
import { Story, type StoryDeps } from './story.ts';

export interface DemoOrdersOptions {
  readonly database: PlatformDatabase;
  readonly tasks: StoryDeps['tasks'];
  /** The clock of the demo, in milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Where a day begins. */
  readonly zone: string;
  /** Told when a round has failed; the next one comes. */
  readonly onError: (error: unknown) => void;
  /** Orders in all: a process that is forgotten does not fill the disk. Default 300. */
  readonly orders?: number;
  /** One is posted so often. Default 4 s. */
  readonly postEveryMs?: number;
  /** Default 500 ms. */
  readonly roundEveryMs?: number;
}

export interface DemoOrders {
  /** Nobody does anything any more; resolves when what is being done has been. */
  stop(): Promise<void>;
}

const manufacturers = 24;
const hourMs = 3_600_000;

/** How long people take, from when it is their turn, in hours from and to. What is not here is done at once. */
const patience: Readonly<Partial<Record<OrderState, readonly [number, number]>>> = {
  sourcing: [1, 8],
  quoted: [4, 24],
  on_hold: [6, 24],
  payment_authorised: [2, 20],
  in_production: [30, 100],
  inspection: [4, 16],
  rework: [20, 60],
  shipped: [24, 72],
  delivered: [12, 48],
  disputed: [24, 72],
};

/**
 * Stores the samples in an empty database, or goes on with those of an earlier start.
 *
 * @returns undefined when the database has users of its own
 */
export async function startDemoOrders(options: DemoOrdersOptions): Promise<DemoOrders | undefined> {
  const { database, tasks, now, zone, onError, orders = 300, postEveryMs = 4_000, roundEveryMs = 500 } = options;
  const data = sampleData({ orders, manufacturers, from: dayIn(zone, new Date(now())) });
  const firstOrder = await firstSample(options, data);
  if (firstOrder === undefined) return undefined;
  const story = new Story({
    database,
    tasks,
    troubleOf: ({ id }) => data.orders[id - firstOrder]?.trouble,
    isTime: (order) => order.state_since.getTime() + patienceMs(order) <= now(),
  });

  let postAt = 0;
  let current: Promise<unknown> = Promise.resolve();
  let isBusy = false;
  const round = async () => {
    const isPosting = Date.now() >= postAt;
    if (isPosting) postAt = Date.now() + postEveryMs;
    await story.round(orders, isPosting ? 1 : 0);
  };
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    current = round()
      .catch(onError)
      .finally(() => {
        isBusy = false;
      });
  }, roundEveryMs);
  return {
    async stop() {
      clearInterval(timer);
      await current;
    },
  };
}

async function firstSample({ database }: DemoOrdersOptions, data: ReturnType<typeof sampleData>): Promise<number | undefined> {
  try {
    return (await storeSamples(database, data)).firstOrder;
  } catch (error) {
    if (!(error instanceof NotEmptyError)) throw error;
    const ours = await database.selectFrom('users').select('id').where('email', '=', data.staff.email).executeTakeFirst();
    if (ours === undefined) return undefined;
    const first = await database.selectFrom('orders').select('id').orderBy('id').limit(1).executeTakeFirst();
    return first?.id;
  }
}

/** Somebody takes as long for a thing each time. */
function patienceMs({ id, state }: Order): number {
  const [from, to] = patience[state] ?? [0, 0];
  const part = (Math.imul(id * 31 + state.length, 2_654_435_761) >>> 0) / 2 ** 32;
  return (from + part * (to - from)) * hourMs;
}
