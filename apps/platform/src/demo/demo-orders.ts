/**
 * Sample orders that live while somebody watches: every few seconds one is posted, and everybody does what he has to do after as long
 * as that takes, by the clock of the demo. Declined cards, parts that are not right, disputes and a provider in trouble are among it.
 */
import type { PlatformDatabase } from '../database/database.ts';
import type { OrderState } from '../orders/order-states.ts';
import type { Order } from '../orders/orders.ts';
import { plannedTrouble, sampleData } from './sample-data.ts';
import { holdsSamples, NotEmptyError, storeSamples } from './sample-store.ts';
import { Story, type StoryDeps } from './story.ts';

export interface DemoOrdersOptions {
  readonly database: PlatformDatabase;
  readonly tasks: StoryDeps['tasks'];
  /** The clock of the demo, in milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** How fast it goes. */
  readonly speed: number;
  /** Told when a round has failed; the next one comes. */
  readonly onError: (error: unknown) => void;
}

export interface DemoOrders {
  /** Nobody does anything any more; resolves when what is being done has been. */
  stop(): Promise<void>;
}

/** A process that is forgotten does not fill the disk. */
const sampleOrders = 300;
const manufacturers = 24;
const hourMs = 3_600_000;
/** One order is posted so often by the clock of the demo: else their due dates would go by before they are posted. */
const postEveryMs = 3.2 * hourMs;
/** By the real clock not more and not less often than this, however fast the demo goes. */
const quickestPostMs = 100;
const slowestPostMs = 4_000;
/** In one round. */
const mostPosts = 10;
/** People look so often, in the time from one post to the next. */
const roundsPerPost = 8;
const quickestRoundMs = 25;
/** Orders of one state that a round looks at. */
const ordersAtOnce = 300;

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
 * Stores the samples in an empty database.
 *
 * @param today when the orders come, such as `2026-11-30`
 * @returns false when the database has users of its own, in whose time nobody plays
 */
export async function prepareSamples(database: PlatformDatabase, today: string, orders = sampleOrders): Promise<boolean> {
  try {
    await storeSamples(database, sampleData({ orders, manufacturers, from: today }));
    return true;
  } catch (error) {
    if (!(error instanceof NotEmptyError)) throw error;
    return holdsSamples(database);
  }
}

/** Plays the orders of a database that holds samples. */
export function startDemoOrders({ database, tasks, now, speed, onError }: DemoOrdersOptions): DemoOrders {
  const story = new Story({
    database,
    tasks,
    troubleOf: plannedTrouble,
    isTime: (order) => order.state_since.getTime() + patienceMs(order) <= now(),
  });

  const pauseMs = Math.min(slowestPostMs, Math.max(quickestPostMs, postEveryMs / speed));
  let postAt = performance.now();
  let current: Promise<unknown> = Promise.resolve();
  let isBusy = false;
  const round = async () => {
    // A round can take longer than a pause: those that were to come meanwhile come with it.
    const due = Math.min(mostPosts, Math.max(0, Math.ceil((performance.now() - postAt) / pauseMs)));
    postAt += due * pauseMs;
    await story.round(ordersAtOnce, due);
  };
  const timer = setInterval(
    () => {
      if (isBusy) return;
      isBusy = true;
      current = round()
        .catch(onError)
        .finally(() => {
          isBusy = false;
        });
    },
    Math.max(quickestRoundMs, pauseMs / roundsPerPost),
  );
  return {
    async stop() {
      clearInterval(timer);
      await current;
    },
  };
}

/** Somebody takes as long for a thing each time. */
function patienceMs({ id, state }: Order): number {
  const [from, to] = patience[state] ?? [0, 0];
  const part = (Math.imul(id * 31 + state.length, 2_654_435_761) >>> 0) / 2 ** 32;
  return (from + part * (to - from)) * hourMs;
}
