import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cancellationFee,
  eventsOf,
  isOver,
  nextStep,
  type OrderActor,
  type OrderEvent,
  type OrderFacts,
  type OrderJob,
  OrderStateError,
  orderEvents,
  orderStates,
  transitions,
} from './order-states.ts';
import { overdueStates } from './overdue.ts';
import { remindedSteps } from './send-reminders.ts';

const actors: readonly OrderActor[] = ['buyer', 'manufacturer', 'staff', 'system'];

const order = (facts: Partial<OrderFacts> = {}): OrderFacts => ({
  state: 'draft',
  heldState: undefined,
  mode: 'instant',
  priced: true,
  assigned: true,
  paid: true,
  takenBack: false,
  ...facts,
});

/** Goes along these events, each by whoever may make it. */
function walk(start: OrderFacts, ...events: readonly (readonly [OrderEvent, OrderActor])[]): OrderFacts {
  return events.reduce((at, [event, actor]) => {
    const { to, heldState } = nextStep(at, event, actor);
    return { ...at, state: to, heldState };
  }, start);
}

const codeOf = (work: () => unknown): string | undefined => {
  try {
    work();
  } catch (error) {
    if (error instanceof OrderStateError) return error.code;
    throw error;
  }
  return undefined;
};

describe('the life of an order', () => {
  it('leads from a draft to its close, instantly', () => {
    const closed = walk(
      order(),
      ['submit', 'buyer'],
      ['source', 'system'],
      ['accept_offer', 'manufacturer'],
      ['authorise_payment', 'system'],
      ['begin_production', 'manufacturer'],
      ['finish_production', 'manufacturer'],
      ['ship', 'manufacturer'],
      ['deliver', 'system'],
      ['accept_parts', 'buyer'],
    );
    expect(closed.state).toBe('closed');
    expect(isOver('closed')).toBe(true);
  });

  it('leads by way of quotes, rework and a dispute', () => {
    const shipped = walk(
      order({ mode: 'rfq' }),
      ['submit', 'buyer'],
      ['source', 'system'],
      ['receive_quote', 'manufacturer'],
      ['receive_quote', 'manufacturer'],
      ['award', 'buyer'],
      ['authorise_payment', 'system'],
      ['begin_production', 'manufacturer'],
      ['finish_production', 'manufacturer'],
      ['reject_parts', 'buyer'],
      ['finish_rework', 'manufacturer'],
      ['ship', 'manufacturer'],
    );
    expect(walk(shipped, ['dispute', 'buyer'], ['resolve_by_rework', 'staff']).state).toBe('rework');
    expect(walk(shipped, ['dispute', 'buyer'], ['resolve_for_buyer', 'staff']).state).toBe('cancelled');
    expect(walk(shipped, ['dispute', 'system'], ['resolve_for_manufacturer', 'staff']).state).toBe('closed');
  });

  it('refuses what is not possible in a state, and says what is', () => {
    expect(() => nextStep(order(), 'ship', 'manufacturer')).toThrow('an order that is draft cannot ship; possible: submit, cancel');
    expect(() => nextStep(order({ state: 'closed' }), 'cancel', 'buyer')).toThrow('possible: nothing');
  });

  it('refuses those who may not', () => {
    expect(codeOf(() => nextStep(order({ state: 'delivered' }), 'accept_parts', 'manufacturer'))).toBe('FORBIDDEN_ACTOR');
    expect(codeOf(() => nextStep(order({ state: 'awarded' }), 'authorise_payment', 'buyer'))).toBe('FORBIDDEN_ACTOR');
    expect(codeOf(() => nextStep(order({ state: 'disputed' }), 'resolve_for_buyer', 'buyer'))).toBe('FORBIDDEN_ACTOR');
  });

  it.each<[string, OrderFacts, OrderEvent, OrderActor]>([
    ['an award without a price', order({ state: 'quoted', mode: 'rfq', priced: false }), 'award', 'buyer'],
    ['an award without a manufacturer', order({ state: 'quoted', mode: 'rfq', assigned: false }), 'award', 'buyer'],
    ['an offer taken without a price', order({ state: 'sourcing', priced: false }), 'accept_offer', 'manufacturer'],
    ['a quote for an instant order', order({ state: 'sourcing' }), 'receive_quote', 'manufacturer'],
    ['an offer for one that asks for quotes', order({ state: 'sourcing', mode: 'rfq' }), 'accept_offer', 'manufacturer'],
    ['a shipment that is not paid for', order({ state: 'inspection', paid: false }), 'ship', 'manufacturer'],
    ['a shipment of what the bank has taken back', order({ state: 'inspection', takenBack: true }), 'ship', 'manufacturer'],
    ['a credit of what is not paid for', order({ state: 'inspection', paid: false }), 'grant_credit', 'staff'],
    ['a cancellation of made parts by way of a hold', order({ state: 'on_hold', heldState: 'inspection' }), 'cancel', 'staff'],
  ])('refuses %s', (_, at, event, actor) => {
    expect(codeOf(() => nextStep(at, event, actor))).toBe('GUARD');
  });

  it('leaves it to the staff what becomes of an order whose payment was taken back', () => {
    expect(nextStep(order({ state: 'inspection', takenBack: true }), 'ship', 'staff').to).toBe('shipped');
    const held = order({ state: 'on_hold', heldState: 'inspection', takenBack: true });
    expect(nextStep(held, 'cancel', 'staff').to).toBe('cancelled');
    expect(codeOf(() => nextStep(held, 'cancel', 'buyer'))).toBe('GUARD');
  });

  it('stays where it is when a credit is granted', () => {
    for (const state of ['inspection', 'delivered'] as const) {
      expect(nextStep(order({ state }), 'grant_credit', 'manufacturer')).toMatchObject({ to: state, heldState: undefined });
    }
    expect(codeOf(() => nextStep(order({ state: 'delivered' }), 'grant_credit', 'buyer'))).toBe('FORBIDDEN_ACTOR');
  });

  it('goes on where it was after a hold', () => {
    for (const state of orderStates) {
      if (!eventsOf(state).includes('hold')) continue;
      const held = nextStep(order({ state }), 'hold', 'staff');
      expect(held).toMatchObject({ to: 'on_hold', heldState: state });
      expect(nextStep(order({ state: 'on_hold', heldState: state }), 'resume', 'staff')).toMatchObject({ to: state, heldState: undefined });
    }
  });

  it('whose payment is lost is to be paid for again, wherever it was', () => {
    for (const state of ['payment_authorised', 'in_production', 'inspection', 'rework'] as const) {
      expect(nextStep(order({ state }), 'lose_payment', 'system')).toMatchObject({ to: 'on_hold', heldState: 'awarded' });
      const held = order({ state: 'on_hold', heldState: state });
      expect(nextStep(held, 'lose_payment', 'system')).toMatchObject({ to: 'on_hold', heldState: 'awarded' });
    }
    expect(codeOf(() => nextStep(order({ state: 'in_production' }), 'lose_payment', 'staff'))).toBe('FORBIDDEN_ACTOR');
    expect(codeOf(() => nextStep(order({ state: 'cancelled' }), 'lose_payment', 'system'))).toBe('ILLEGAL_EVENT');
    expect(codeOf(() => nextStep(order({ state: 'on_hold', priced: false }), 'lose_payment', 'system'))).toBe('GUARD');
  });

  it('costs by stage to cancel, also by way of a hold', () => {
    expect(orderStates.map((state) => cancellationFee({ state, heldState: undefined })).filter((fee) => fee > 0)).toEqual([1_000, 5_000]);
    expect(cancellationFee({ state: 'on_hold', heldState: 'in_production' })).toBe(5_000);
    expect(cancellationFee({ state: 'quoted', heldState: undefined })).toBe(0);
  });

  it('comes from every state to an end, and waits nowhere without a date but for people who are at work', () => {
    const over = orderStates.filter(isOver);
    expect(over).toEqual(['closed', 'cancelled']);
    const ways = new Map(
      orderStates.map((state) => [
        state,
        eventsOf(state).flatMap((event) =>
          actors.flatMap((actor) => {
            try {
              return [
                nextStep(
                  order({ state, heldState: 'awarded', mode: event === 'award' || event === 'receive_quote' ? 'rfq' : 'instant' }),
                  event,
                  actor,
                ),
              ];
            } catch {
              return [];
            }
          }),
        ),
      ]),
    );
    const ends = new Set<string>(over);
    for (let grown = -1; grown !== ends.size; ) {
      grown = ends.size;
      for (const [state, steps] of ways) if (steps.some(({ to }) => ends.has(to))) ends.add(state);
    }
    expect([...ends].sort()).toEqual([...orderStates].sort());
    const reached = [...ways.values()].flat();
    const undated = new Set(reached.flatMap(({ to, deadlineMs }) => (deadlineMs === undefined ? [to] : [])));
    // These go by the day on which the order is due.
    expect([...undated].sort()).toEqual(['cancelled', 'closed', 'in_production', 'submitted']);
    const dated = new Set(reached.flatMap(({ to, deadlineMs }) => (deadlineMs === undefined ? [] : [to])));
    expect([...overdueStates, ...remindedSteps.keys()].sort()).toEqual([...dated].sort());
  });

  it('is what docs/orders.md draws, with the jobs that each event enqueues', async () => {
    /** The others are done in the transaction. */
    const taskOf: Readonly<Partial<Record<OrderJob, string>>> = {
      match: 'order.match',
      notify: 'order.notifyStatus',
      authorise: 'payment.process',
      capture: 'payment.capture',
      payout: 'payment.payout',
      invoice: 'payment.generateInvoice',
      release: 'payment.release',
    };
    /** By whoever makes the event. */
    const beside: Readonly<Partial<Record<OrderEvent, string>>> = { source: 'order.expireOffer', grant_credit: 'payment.refund' };
    const line = (from: string, to: string, event: string, jobs: readonly string[]) =>
      `${from} --> ${to}: ${event} / ${jobs.toSorted().join(', ')}`;
    const wanted = orderEvents.flatMap((event) => {
      const { from, to, jobs } = transitions[event];
      const tasks = [...jobs.flatMap((job) => taskOf[job] ?? []), ...(beside[event] === undefined ? [] : [beside[event]])];
      return from.map((state) => line(state, to === 'same' ? state : to, event, tasks));
    });
    const page = await readFile(new URL('../../../../docs/orders.md', import.meta.url), 'utf8');
    const listed = (text = '') => text.split(', ').map((name) => name.replaceAll('`', ''));
    const arrows = [...page.matchAll(/^ {2}(\w+) --> (\w+): (\w+)(?: \/ (.+))?$/gm)].map(([, from = '', to = '', event = '', jobs]) =>
      line(from, to, event, listed(jobs)),
    );
    const rows = [...page.matchAll(/^\| `(\w+)` \| (.+) \| (`\w+`|where it was) \| ((?:order|payment)\..+) \|$/gm)].flatMap(
      ([, event = '', from, to = '', jobs]) =>
        listed(from).map((state) => line(state, to === 'where it was' ? 'back' : to.replaceAll('`', ''), event, listed(jobs))),
    );
    expect([...arrows, ...rows].toSorted()).toEqual(wanted.toSorted());
  });

  it('however it is walked, every step is one of the table, and only a hold remembers where it was', () => {
    const moves = fc.array(fc.tuple(fc.constantFrom(...orderEvents), fc.constantFrom(...actors)), { maxLength: 60 });
    fc.assert(
      fc.property(fc.constantFrom('instant' as const, 'rfq' as const), moves, (mode, events) => {
        let at = order({ mode });
        for (const [event, actor] of events) {
          let step: ReturnType<typeof nextStep>;
          try {
            step = nextStep(at, event, actor);
          } catch (error) {
            expect(error).toBeInstanceOf(OrderStateError);
            continue;
          }
          expect(orderStates).toContain(step.to);
          expect(step.heldState !== undefined).toBe(step.to === 'on_hold');
          expect(isOver(at.state)).toBe(false);
          at = { ...at, state: step.to, heldState: step.heldState };
        }
      }),
    );
  });
});
