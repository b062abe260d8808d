/** From rankings to what is assigned: the orders with their choices, and the machine time of all suppliers. */
import type { FreeTime, PendingOrder } from './assignment-problem.ts';
import type { OrderNeed, Supplier } from './market.ts';
import type { RankedCandidate } from './score.ts';

/** @param candidates as `rank` gives them for that order */
export function pendingOrderOf({ id, process }: OrderNeed, candidates: readonly RankedCandidate[]): PendingOrder {
  const choices = candidates.flatMap(({ supplierId, slots }) => slots.map(({ score, uses }) => ({ supplierId, score, uses })));
  return { id, process, choices };
}

export function freeTimeOf(suppliers: readonly Supplier[]): readonly FreeTime[] {
  return suppliers.flatMap(({ id, offers }) =>
    [...offers].flatMap(([process, { freeMinutes }]) =>
      [...freeMinutes].map(([week, minutes]) => ({ supplierId: id, process, week, minutes })),
    ),
  );
}
