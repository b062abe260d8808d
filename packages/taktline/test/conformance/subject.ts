/**
 * What the conformance suite knows of a broker under test. The topics beside this file speak only of the contract
 * (src/broker/broker.ts, inspector.ts), so that every implementation is run through the same ones; postgres.test.ts has
 * the subject for Postgres.
 */
import type { Broker, QueueDeclaration } from '../../src/broker/broker.ts';
import type { Inspector } from '../../src/broker/inspector.ts';
import type { Timetable } from '../../src/broker/timetable.ts';

export interface Subject {
  /** An empty namespace on the server that all tests share. */
  space(): Promise<Space>;
  /** A namespace on a server that the test may stop, reached through a network that it may disturb. */
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
  readonly timetable: Timetable;
}

export interface OwnServerSpace extends Space {
  stop(): Promise<void>;
  /** Ends the server as a crash does: what it has not written is lost. */
  crash(): Promise<void>;
  start(): Promise<void>;
  readonly network: Network;
}

export interface Network {
  /** From now on nothing gets through, on new connections neither, and nobody is told. */
  goSilent(): void;
  /** What is sent on the connections of now stays on its way. */
  holdRequests(): void;
  /** The answers on the connections of now stay on their way. */
  holdReplies(): void;
  /** Delivers what was held back. Resolves when the server has dealt with what came from clients that have gone. */
  goOn(): Promise<void>;
  /** Resets all connections. */
  cut(): void;
}

/** The queues of every space, unless a test declares others. */
export const queues: readonly QueueDeclaration[] = [
  { name: 'high', priority: 9 },
  { name: 'usual', priority: 5 },
  { name: 'low', priority: 2 },
];
