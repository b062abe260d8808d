/** A job on its way from one broker to another, in words that both understand. */
import type { Lane } from './broker.ts';

interface Common {
  readonly id: string;
  readonly queue: string;
  readonly priority: number;
  readonly enqueuedAt: number;
  readonly envelope: string;
  /** As of an enqueue whose caller gave the id: the same id and work enqueued later is a duplicate. */
  readonly fingerprint: string;
}

export type AdoptedJob = Common &
  (
    | { readonly state: 'queued'; readonly lane?: Lane; readonly expiresAt?: number; readonly past?: string }
    /** With a past it waits for a retry. */
    | { readonly state: 'scheduled'; readonly dueAt: number; readonly expiresAt?: number; readonly past?: string }
    | {
        readonly state: 'dead';
        readonly task: string;
        readonly code: string;
        readonly message: string;
        readonly diedAt: number;
        readonly past: string;
      }
  );

/**
 * `there`: a job of this id and work is here, or was here within the time of its id. `conflict`: the id belongs to other
 * work here, and the job was not put.
 */
export type AdoptReply = 'adopted' | 'there' | 'conflict';

/** An id that was adopted is not adopted again for so long, nor while its job is here: 7 days. */
export const adoptedForMs = 7 * 86_400_000;
