/** Which events of an order are made by which route, and which of them a caller can make now. */
import type { UserRole } from '../../database/marketplace-tables.ts';
import { nextStep, type OrderEvent, OrderStateError, transitions } from '../../orders/order-states.ts';
import { factsOf, type Order } from '../../orders/orders.ts';

/**
 * Made by `POST /orders/{id}/events`. Written out: what comes with more than its state, such as an award with its price, has a route of
 * its own, and a new event must not slip in here.
 */
export const postedEvents = [
  'submit',
  'match_again',
  'begin_production',
  'finish_production',
  'finish_rework',
  'ship',
  'deliver',
  'accept_parts',
  'hold',
  'resume',
  'cancel',
  'dispute',
  'resolve_for_manufacturer',
  'resolve_for_buyer',
  'resolve_by_rework',
] as const satisfies readonly OrderEvent[];

export type PostedEvent = (typeof postedEvents)[number];

/** Whether a role may ever make it by that route. */
export function mayPost(role: UserRole, event: PostedEvent): boolean {
  // A manufacturer lets an order go by declining his offer.
  if (event === 'match_again' && role === 'manufacturer') return false;
  return (transitions[event].actors as readonly string[]).includes(role);
}

/** What can be made now, by these routes. */
export function possibleEvents(order: Order, role: UserRole): readonly OrderEvent[] {
  const own: readonly OrderEvent[] = [...postedEvents.filter((event) => mayPost(role, event)), 'reject_parts', 'grant_credit'];
  return own.filter((event) => canHappen(order, event, role));
}

function canHappen(order: Order, event: OrderEvent, role: UserRole): boolean {
  try {
    nextStep(factsOf(order), event, role);
    return true;
  } catch (error) {
    if (error instanceof OrderStateError) return false;
    throw error;
  }
}
