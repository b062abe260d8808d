/**
 * The envelope: what travels and is stored for a job. One JSON object in one string, encoded once when the job is
 * enqueued. It carries a version, so that a later release can read what an older one wrote.
 */
import { createHash } from 'node:crypto';
import { TaktlineError } from '../support/taktline-error.ts';

export interface Envelope {
  readonly task: string;
  /** As the caller gave it, through JSON. */
  readonly input: unknown;
  readonly inputVersion: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The first job of the family that this one belongs to, and the one that made it. */
  readonly root: string | undefined;
  readonly parent: string | undefined;
}

export interface EnvelopeHead {
  readonly task: string;
  readonly inputVersion: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly root?: string | undefined;
  readonly parent?: string | undefined;
}

/**
 * The part of the envelope before the input. A batch of one task shares it.
 */
export function encodeHead(head: EnvelopeHead): string {
  const json = JSON.stringify({
    v: 1,
    task: head.task,
    ...(head.inputVersion === 1 ? {} : { iv: head.inputVersion }),
    ...(head.headers === undefined ? {} : { headers: head.headers }),
    ...(head.root === undefined ? {} : { root: head.root }),
    ...(head.parent === undefined ? {} : { parent: head.parent }),
  });
  return `${json.slice(0, -1)},"input":`;
}

/** Joins a head with an input that is JSON already. */
export function encodeEnvelope(head: string, inputJson: string): string {
  return `${head}${inputJson}}`;
}

/**
 * Turns a value into JSON.
 *
 * @param what stands in the error, such as `the input of task "x"`
 * @throws TaktlineError `INVALID_INPUT` when JSON cannot hold it (a function, a BigInt, a circle)
 */
export function toJson(value: unknown, what: string): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value === undefined ? null : value);
  } catch (cause) {
    // The cause's message can quote the value; the class of the error is enough.
    throw new TaktlineError(
      'INVALID_INPUT',
      `${what} cannot be written as JSON: ${cause instanceof Error ? cause.name : 'unknown'} (circles and BigInt do not fit)`,
    );
  }
  if (json === undefined) throw new TaktlineError('INVALID_INPUT', `${what} cannot be written as JSON: it is a ${typeof value}`);
  return json;
}

/** Tells whether two calls ask for the same: the same task and an equal input, in whatever order its fields stand. */
export function fingerprint(task: string, inputJson: string): string {
  const sorted = JSON.stringify(JSON.parse(inputJson), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(`${task}\0${sorted}`).digest('base64url').slice(0, 22);
}

/** The fingerprint of the call that made an envelope; of one that cannot be read, one of its own. */
export function fingerprintOf(envelope: string): string {
  try {
    const { task, input } = decodeEnvelope(envelope);
    return fingerprint(task, JSON.stringify(input ?? null));
  } catch {
    return fingerprint('', JSON.stringify(envelope));
  }
}

/** @throws TaktlineError `BAD_ENVELOPE` */
export function decodeEnvelope(text: string): Envelope {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TaktlineError('BAD_ENVELOPE', `the stored job is not JSON (${Buffer.byteLength(text)} bytes)`);
  }
  if (typeof value !== 'object' || value === null) throw new TaktlineError('BAD_ENVELOPE', 'the stored job is not an object');
  const raw = value as { v?: unknown; task?: unknown; iv?: unknown; headers?: unknown; root?: unknown; parent?: unknown; input?: unknown };
  if (raw.v !== 1)
    throw new TaktlineError(
      'BAD_ENVELOPE',
      `the stored job has envelope version ${String(raw.v).slice(0, 20)}; this release reads version 1`,
    );
  if (typeof raw.task !== 'string') throw new TaktlineError('BAD_ENVELOPE', 'the stored job names no task');
  return {
    task: raw.task,
    input: raw.input,
    inputVersion: typeof raw.iv === 'number' ? raw.iv : 1,
    headers: typeof raw.headers === 'object' && raw.headers !== null ? (raw.headers as Record<string, string>) : noHeaders,
    root: typeof raw.root === 'string' ? raw.root : undefined,
    parent: typeof raw.parent === 'string' ? raw.parent : undefined,
  };
}

/** The task that an envelope names; '' for one that cannot be read. */
export function taskNameOf(envelope: string): string {
  try {
    return decodeEnvelope(envelope).task.slice(0, 200);
  } catch {
    return '';
  }
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

const headerNamePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
const headersLimit = 8192;

/** @throws TaktlineError `INVALID_OPTION` */
export function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  let size = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (!headerNamePattern.test(name) || name === '__proto__' || typeof value !== 'string') {
      throw new TaktlineError(
        'INVALID_OPTION',
        `header ${JSON.stringify(name.slice(0, 70))}: a name is letters, digits and _.- and a value is a string`,
      );
    }
    size += name.length + Buffer.byteLength(value);
  }
  if (size > headersLimit) throw new TaktlineError('INVALID_OPTION', `headers take ${size} bytes; at most ${headersLimit} are allowed`);
  return headers;
}
