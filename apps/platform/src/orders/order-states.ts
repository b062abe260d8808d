/**
 * The life of an order, as one table: for each event from where to where, who may, what must hold, until when the next step is due,
 * and which jobs it enqueues. Pure: orders.ts applies it in a transaction. docs/orders.md draws it.
 *
 * draft -> submitted -> sourcing -> (quoted ->) awarded -> payment_authorised -> in_production -> inspection -> shipped -> delivered -> closed
 *                                                                                    ^- rework -'
 * Beside that: on_hold goes back to where it was; cancelled costs a fee by stage; disputed ends closed, cancelled or in rework.
 */

export const orderStates = [
  'draft',
  'submitted',
  'sourcing',
  'quoted',
  'awarded',
  'payment_authorised',
  'in_production',
  'inspection',
  'rework',
  'shipped',
  'delivered',
  'closed',
  'on_hold',
  'cancelled',
  'disputed',
] as const;

export type OrderState = (typeof orderStates)[number];

/** In these it is no manufacturer's yet. */
export const beforeAward: ReadonlySet<OrderState> = new Set<OrderState>(['draft', 'submitted', 'sourcing', 'quoted']);

export type OrderActor = 'buyer' | 'manufacturer' | 'staff' | 'system';

/** What a transition looks at. */
export interface OrderFacts {
  readonly state: OrderState;
  /** Where an order on hold was. */
  readonly heldState: OrderState | undefined;
  readonly mode: 'instant' | 'rfq';
  readonly priced: boolean;
  readonly assigned: boolean;
  /** Price and tax are captured. */
  readonly paid: boolean;
  /** The buyer's bank has taken back what he paid, or a part of it. */
  readonly takenBack: boolean;
}

/** Jobs that a transition enqueues, by what they do; orders.ts says which task that is. */
export type OrderJob =
  /** Where it is nobody's yet. */
  | 'match'
  | 'notify'
  | 'authorise'
  | 'capture'
  | 'payout'
  | 'invoice'
  /** Lets go, or gives back, the buyer's money. */
  | 'release'
  | 'freeCapacity'
  /** It counts for the manufacturer's record. */
  | 'recordDelivery'
  | 'closeNonConformances'
  /** Awarded again after a hold, and paid for meanwhile: it is paid for. */
  | 'goOn';

interface Transition {
  readonly from: readonly OrderState[];
  /** `back`: where it was before it was on hold. `same`: where it is. */
  readonly to: OrderState | 'back' | 'same';
  /** Of one to `on_hold`: where it goes back to, if that is not where it was. */
  readonly heldAt?: OrderState;
  readonly actors: readonly OrderActor[];
  /** What is missing, in words that say what to do. */
  readonly guard?: (order: OrderFacts, actor: OrderActor) => string | undefined;
  readonly jobs: readonly OrderJob[];
}

const day = 86_400_000;

/**
 * So long an order may stay in a state before the next step is taken for whoever has not taken it (overdue.ts), or he is reminded
 * (send-reminders.ts). What waits for somebody who could make it, and what is made, goes by the day on which it is due.
 */
export const deadlines: Readonly<Partial<Record<OrderState, number>>> = {
  sourcing: 3 * day,
  quoted: 7 * day,
  // A week after a declined payment was tried for the last time.
  awarded: 21 * day,
  payment_authorised: 5 * day,
  inspection: 3 * day,
  rework: 10 * day,
  shipped: 21 * day,
  delivered: 14 * day,
  on_hold: 14 * day,
  disputed: 14 * day,
};

const open = ['draft', 'submitted', 'sourcing', 'quoted', 'awarded', 'payment_authorised', 'in_production'] as const;
const underWay = ['sourcing', 'quoted', 'awarded', 'payment_authorised', 'in_production', 'inspection', 'rework'] as const;

const needsPrice = (order: OrderFacts) => (order.priced && order.assigned ? undefined : 'it has no manufacturer and price yet');
const needsPayment = (order: OrderFacts) => (order.paid ? undefined : 'it is not paid for yet');
/** The staff decides how such an order goes on. */
const needsMoney = (order: OrderFacts, actor: OrderActor) =>
  order.takenBack && actor !== 'staff' ? "the buyer's bank has taken the payment back: the staff decides" : needsPayment(order);
const mode = (wanted: OrderFacts['mode']) => (order: OrderFacts) =>
  order.mode === wanted ? undefined : `only an order of mode ${wanted} can do that`;

export const transitions = {
  submit: { from: ['draft'], to: 'submitted', actors: ['buyer', 'staff'], jobs: ['match', 'notify'] },
  source: { from: ['submitted'], to: 'sourcing', actors: ['system', 'staff'], jobs: [] },
  /** A manufacturer takes an offer. */
  accept_offer: {
    from: ['sourcing'],
    to: 'awarded',
    actors: ['manufacturer'],
    guard: (order) => mode('instant')(order) ?? needsPrice(order),
    jobs: ['authorise', 'notify'],
  },
  /** An offer was declined or has expired, or the quotes have come to nothing. */
  match_again: { from: ['sourcing', 'quoted'], to: 'submitted', actors: ['manufacturer', 'system', 'staff'], jobs: ['match'] },
  receive_quote: { from: ['sourcing', 'quoted'], to: 'quoted', actors: ['manufacturer'], guard: mode('rfq'), jobs: ['notify'] },
  award: {
    from: ['quoted'],
    to: 'awarded',
    actors: ['buyer', 'staff'],
    guard: (order) => mode('rfq')(order) ?? needsPrice(order),
    jobs: ['authorise', 'notify'],
  },
  authorise_payment: { from: ['awarded'], to: 'payment_authorised', actors: ['system'], jobs: ['notify'] },
  begin_production: { from: ['payment_authorised'], to: 'in_production', actors: ['manufacturer', 'staff'], jobs: ['capture', 'notify'] },
  finish_production: { from: ['in_production'], to: 'inspection', actors: ['manufacturer', 'staff'], jobs: ['notify'] },
  reject_parts: { from: ['inspection', 'delivered'], to: 'rework', actors: ['buyer', 'staff'], jobs: ['notify'] },
  finish_rework: { from: ['rework'], to: 'inspection', actors: ['manufacturer', 'staff'], jobs: ['closeNonConformances', 'notify'] },
  /** The buyer keeps parts that are not right, for less. */
  grant_credit: { from: ['inspection', 'delivered'], to: 'same', actors: ['manufacturer', 'staff'], guard: needsPayment, jobs: [] },
  ship: { from: ['inspection'], to: 'shipped', actors: ['manufacturer', 'staff'], guard: needsMoney, jobs: ['invoice', 'notify'] },
  deliver: { from: ['shipped'], to: 'delivered', actors: ['buyer', 'system', 'staff'], jobs: ['recordDelivery', 'notify'] },
  /** By the buyer, or for him when he has said nothing until the deadline. */
  accept_parts: { from: ['delivered'], to: 'closed', actors: ['buyer', 'system', 'staff'], jobs: ['payout', 'notify'] },
  hold: { from: underWay, to: 'on_hold', actors: ['staff', 'system'], jobs: ['notify'] },
  /** Its offers and quotes may have come to nothing meanwhile, and it may have been paid for. */
  resume: { from: ['on_hold'], to: 'back', actors: ['staff', 'system'], jobs: ['match', 'notify', 'goOn'] },
  /** The money that was reserved is not there any more: it is to be paid for again before it goes on. */
  lose_payment: {
    from: ['awarded', 'payment_authorised', 'in_production', 'inspection', 'rework', 'on_hold'],
    to: 'on_hold',
    heldAt: 'awarded',
    actors: ['system'],
    guard: needsPrice,
    jobs: ['notify'],
  },
  cancel: {
    from: [...open, 'on_hold'],
    to: 'cancelled',
    actors: ['buyer', 'staff', 'system'],
    guard: (order, actor) =>
      cancellable(order) || (order.takenBack && actor === 'staff') ? undefined : 'its parts are made: dispute it instead',
    jobs: ['release', 'freeCapacity', 'notify'],
  },
  dispute: { from: ['shipped', 'delivered'], to: 'disputed', actors: ['buyer', 'system'], jobs: ['notify'] },
  resolve_for_manufacturer: { from: ['disputed'], to: 'closed', actors: ['staff'], jobs: ['payout', 'notify'] },
  resolve_for_buyer: { from: ['disputed'], to: 'cancelled', actors: ['staff'], jobs: ['release', 'notify'] },
  resolve_by_rework: { from: ['disputed'], to: 'rework', actors: ['staff'], jobs: ['notify'] },
} as const satisfies Readonly<Record<string, Transition>>;

export type OrderEvent = keyof typeof transitions;

export const orderEvents = Object.keys(transitions) as readonly OrderEvent[];

/** What a buyer who cancels pays, in hundredths of a percent of the price. Before it is paid for, nothing is made, and nothing could be taken. */
const cancellationFees: Readonly<Partial<Record<OrderState, number>>> = { payment_authorised: 1_000, in_production: 5_000 };

/** `ILLEGAL_EVENT`: not in this state. `FORBIDDEN_ACTOR`: not by this one. `GUARD`: something is missing; the message says what. */
export class OrderStateError extends Error {
  override readonly name = 'OrderStateError';
  readonly code: 'ILLEGAL_EVENT' | 'FORBIDDEN_ACTOR' | 'GUARD';

  constructor(code: OrderStateError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface NextStep {
  readonly to: OrderState;
  readonly heldState: OrderState | undefined;
  /** Milliseconds from now; undefined for none. */
  readonly deadlineMs: number | undefined;
  readonly jobs: readonly OrderJob[];
}

/**
 * What an event makes of an order.
 *
 * @throws OrderStateError when it may not happen
 */
export function nextStep(order: OrderFacts, event: OrderEvent, actor: OrderActor): NextStep {
  const transition: Transition = transitions[event];
  if (!transition.from.includes(order.state)) {
    throw new OrderStateError('ILLEGAL_EVENT', `an order that is ${order.state} cannot ${event}; possible: ${possible(order.state)}`);
  }
  if (!transition.actors.includes(actor)) {
    throw new OrderStateError('FORBIDDEN_ACTOR', `${event} is for ${transition.actors.join(', ')}, not for ${actor}`);
  }
  const missing = transition.guard?.(order, actor);
  if (missing !== undefined) throw new OrderStateError('GUARD', `this order cannot ${event}: ${missing}`);
  const to = destination(transition.to, order);
  return {
    to,
    heldState: to === 'on_hold' ? (transition.heldAt ?? order.state) : undefined,
    deadlineMs: deadlines[to],
    jobs: transition.jobs,
  };
}

function destination(to: Transition['to'], { state, heldState }: OrderFacts): OrderState {
  if (to === 'back') return heldState as OrderState;
  return to === 'same' ? state : to;
}

/** Events that can happen in a state, whoever makes them. */
export function eventsOf(state: OrderState): readonly OrderEvent[] {
  return orderEvents.filter((event) => (transitions[event].from as readonly OrderState[]).includes(state));
}

/** In hundredths of a percent of the price: what cancelling costs now. */
export function cancellationFee({ state, heldState }: Pick<OrderFacts, 'state' | 'heldState'>): number {
  return cancellationFees[heldState ?? state] ?? 0;
}

/** Whether nothing can happen to it any more. */
export function isOver(state: OrderState): boolean {
  return eventsOf(state).length === 0;
}

function cancellable({ state, heldState }: OrderFacts): boolean {
  return (open as readonly OrderState[]).includes(heldState ?? state);
}

function possible(state: OrderState): string {
  return eventsOf(state).join(', ') || 'nothing';
}
