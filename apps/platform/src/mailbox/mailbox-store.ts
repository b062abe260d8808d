/** The mails that the local mailbox took: the newest ones, in memory. They are for looking at, not for keeping. */
import { randomUUID } from 'node:crypto';

export interface MailboxMessage {
  readonly id: string;
  readonly receivedAt: Date;
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** Undefined when the mail has no HTML part. */
  readonly html: string | undefined;
  /** In the order of the mail, as they came. */
  readonly headers: readonly string[];
  readonly bytes: number;
}

export interface MailboxPage {
  readonly messages: readonly MailboxMessage[];
  readonly total: number;
}

export class MailboxStore {
  readonly #messages = new Map<string, MailboxMessage>();
  readonly #limits: { readonly messages: number; readonly bytes: number };
  #bytes = 0;

  /** @param limits default: 500 mails and 64 MiB; the oldest go first */
  constructor(limits = { messages: 500, bytes: 64 * 1024 * 1024 }) {
    this.#limits = limits;
  }

  add(message: Omit<MailboxMessage, 'id'>): MailboxMessage {
    const stored = { ...message, id: randomUUID() };
    this.#messages.set(stored.id, stored);
    this.#bytes += stored.bytes;
    for (const oldest of this.#messages.values()) {
      if (this.#messages.size <= this.#limits.messages && this.#bytes <= this.#limits.bytes) break;
      this.#messages.delete(oldest.id);
      this.#bytes -= oldest.bytes;
    }
    return stored;
  }

  find(id: string): MailboxMessage | undefined {
    return this.#messages.get(id);
  }

  /** Newest first. */
  page(offset: number, limit: number): MailboxPage {
    return { messages: [...this.#messages.values()].toReversed().slice(offset, offset + limit), total: this.#messages.size };
  }
}
