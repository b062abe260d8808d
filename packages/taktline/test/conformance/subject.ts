/**
 * What the conformance suite knows of a broker under test. The topics beside this file speak only of the contract
 * (src/broker/broker.ts, inspector.ts), so that every implementation is run through the same ones; postgres.test.ts has
 * the subject for Postgres.
 */
import type { Broker, QueueDeclaration } from '../../src/broker/broker.ts';
import type { Inspector } from '../../src/broker/inspector.ts';

export interface Subject {
  /** An empty namespace on the server that all tests share. */
  space(): Promise<Space>;
  /** A server that the test may stop, and a namespace on it. */
  ownServer(): Promise<OwnServerSpace>;
}

/** A namespace, and brokers on it. */
export interface Space extends AsyncDisposable {
  /** For another process. */
  readonly url: string;
  readonly namespace: string;
  /** A broker with connections of its own, not opened yet. It is closed with the space. */
  make(options?: BrokerSettings): Instance;
  /** One that is open. */
  open(options?: BrokerSettings): Promise<Instance>;
}

export interface BrokerSettings {
  readonly queues?: readonly QueueDeclaration[];
  readonly deadLetterTtlMs?: number;
  /** How long it waits for an answer of the server. */
  readonly timeoutMs?: number;
}

export interface Instance {
  readonly broker: Broker;
  readonly inspector: Inspector;
}

export interface OwnServerSpace extends Space {
  stop(): Promise<void>;
  start(): Promise<void>;
  /** From now on nothing gets through to the server or back, and no connection is told. */
  goSilent(): void;
  /** What was held back goes on its way, also that of clients which have given up meanwhile. */
  goOn(): void;
  /** Resets all connections. */
  cut(): void;
}

/** The queues of every space, unless a test declares others. */
export const queues: readonly QueueDeclaration[] = [
  { name: 'high', priority: 9 },
  { name: 'usual', priority: 5 },
  { name: 'low', priority: 2 },
];
