/** Ids of jobs: UUID version 7 (RFC 9562), which sort by the time they were made, so that they enter an index at its end. */
import { v7 } from 'uuid';

export function newId(): string {
  return v7();
}
