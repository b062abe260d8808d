/**
 * A payment provider for development and tests: a real HTTP server on loopback that speaks the part of Stripe's API which the adapter
 * uses. So the adapter and Stripe's SDK are what runs, over real connections, and every trouble of a network can be had at will.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiAnswer, type ApiCall, SandboxApi } from './sandbox-api.ts';
import { type SandboxDisputeStatus, SandboxLedger } from './sandbox-ledger.ts';
import { newId } from './sandbox-objects.ts';
import { answerPage, isPage } from './sandbox-pages.ts';
import type { DisputeToMake } from './sandbox-payments.ts';
import { SandboxState } from './sandbox-state.ts';
import { type Trouble, type TroubleRates, type TroubleSource, troubleSource } from './sandbox-trouble.ts';
import { createWebhooks } from './sandbox-webhooks.ts';

/** Its usual ones: they guard nothing. */
export const sandboxSecrets = { secretKey: 'sk_test_sandbox', webhookSecret: 'whsec_sandbox' } as const;

export interface SandboxOptions {
  /** Default any that is free. */
  readonly port?: number;
  /** Where it remembers what it knows, so that it survives kills. Default nowhere. Only one process may have it open. */
  readonly file?: string;
  /** Default `sk_test_sandbox`. */
  readonly secretKey?: string;
  /** Default `whsec_sandbox`. */
  readonly webhookSecret?: string;
  /** Where events are told; default nowhere. */
  readonly webhookUrl?: string;
  /** Waits between the tries to tell an event, in milliseconds. Default 200, 1,000 and 5,000. */
  readonly webhookRetryMs?: readonly number[];
  /** From 0 to below 1, for troubles. Default Math.random. */
  readonly random?: () => number;
  /** What goes wrong with which call. Default nothing but what cards do. */
  readonly trouble?: TroubleSource | TroubleRates;
  /** Where the buyer approves a payment. Default a page of the sandbox. */
  readonly actionUrl?: (intent: string) => string;
  /** How often a payment by `pm_card_processing` is asked for and still processing. Default until it is approved or rejected. */
  readonly processingQuestions?: number;
  /** How often `pm_card_soft_once` is declined first. Default 1. */
  readonly softDeclines?: number;
  /** How long idempotency keys are remembered, in milliseconds. Default 24 hours. */
  readonly keysMs?: number;
  /** How long it takes until a search finds what was made, in milliseconds. Default a minute, as Stripe has it at most of times. */
  readonly searchLagMs?: number;
  /** Milliseconds since the Unix epoch. Default Date.now. */
  readonly now?: () => number;
}

export interface SandboxGateway {
  readonly host: string;
  readonly port: number;
  /** Such as `http://127.0.0.1:12111`. */
  readonly url: string;
  /** What the adapter needs to reach it. */
  readonly connection: {
    readonly secretKey: string;
    readonly webhookSecret: string;
    readonly host: string;
    readonly port: number;
    readonly protocol: 'http';
  };
  /** To look into; it is changed by calls only. */
  readonly ledger: Pick<SandboxLedger, 'charges' | 'disputed' | 'doubleCharges' | 'totals'>;
  /** How many calls have come in, those included that had no answer. */
  calls(): number;
  /** The buyer approves a payment that requires it, or the bank one that is processing. @throws StripeFault for any other */
  approve(intent: string): void;
  /** @throws as approve */
  reject(intent: string): void;
  /** The time of an authorisation is over. @throws StripeFault unless the payment is authorised, and not captured */
  lapse(intent: string): void;
  /** @returns its id. @throws StripeFault unless the payment is captured and so much of it is there yet */
  dispute(intent: string, dispute?: DisputeToMake): string;
  /** @throws StripeFault when there is no such dispute */
  moveDispute(dispute: string, status: SandboxDisputeStatus): void;
  /** Ends a refund by `pm_card_pendingRefund`; or has one fail that has succeeded. @throws StripeFault when it has ended so */
  settleRefund(refund: string, status: 'succeeded' | 'failed'): void;
  /** Breaks off what is under way, as a kill would. */
  stop(): Promise<void>;
}

const dayMs = 86_400_000;
const largestForm = 64 * 1024;
const usualLateMs = 100;

/** How long after the first answer the second one follows on a connection that is kept. */
const secondAnswerMs = 5;

/** @throws SandboxFileError, and what the system says of the file and the port */
export async function startSandboxGateway(options: SandboxOptions = {}): Promise<SandboxGateway> {
  const {
    secretKey = sandboxSecrets.secretKey,
    webhookSecret = sandboxSecrets.webhookSecret,
    random = Math.random,
    now = Date.now,
    trouble,
  } = options;
  const troubles = typeof trouble === 'object' ? troubleSource(trouble, random) : trouble;
  const webhooks =
    options.webhookUrl === undefined
      ? undefined
      : createWebhooks({
          url: options.webhookUrl,
          secret: webhookSecret,
          ...(options.webhookRetryMs === undefined ? {} : { retryMs: options.webhookRetryMs }),
        });
  const stopping = new AbortController();
  const host = '127.0.0.1';
  let calls = 0;

  const server = createServer((request, response) => {
    serve(request, response).catch(() => {
      // Other than by a caller that hung up, or by a stop, this is a fault of the sandbox.
      if (response.destroyed || response.headersSent || stopping.signal.aborted) request.socket.destroy();
      else send(response, fault(500, 'The sandbox has failed.'));
    });
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = await read(request);
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', url);
    if (form === undefined) return send(response, fault(413, 'The form is too large.'));
    if (isPage(path)) return answerPage(state, request.method ?? '', path, new URLSearchParams(form), response);
    calls += 1;
    if (request.headers.authorization !== `Bearer ${secretKey}`) return send(response, fault(401, 'Invalid API Key provided.'));
    const key = request.headers['idempotency-key'];
    const call: ApiCall = {
      method: request.method ?? '',
      path,
      params: request.method === 'POST' ? new URLSearchParams(form) : query,
      idempotencyKey: typeof key === 'string' ? key : undefined,
    };
    const strikes = troubles?.(call);
    if (strikes === undefined) return deliver(request, response, api.handle(call));
    return spoil(strikes, call, request, response);
  }

  /** Sends the answer as the card has it. */
  async function deliver(request: IncomingMessage, response: ServerResponse, answer: ApiAnswer): Promise<void> {
    switch (answer.spoilt) {
      case undefined:
        return send(response, answer);
      case 'never':
        return;
      case 'reset':
        return reset(request);
      case 'twice':
        return sendTwice(request, response, answer);
    }
  }

  async function spoil(
    { kind, done, ms = usualLateMs }: Trouble,
    call: ApiCall,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (kind === 'late') {
      if (done) {
        const answer = api.handle(call);
        await sleep(ms, undefined, { signal: stopping.signal });
        return deliver(request, response, answer);
      }
      const release = api.reserve(call.idempotencyKey);
      try {
        await sleep(ms, undefined, { signal: stopping.signal });
      } finally {
        release();
      }
      return deliver(request, response, api.handle(call));
    }
    if (kind === 'twice') return sendTwice(request, response, api.handle(call));
    if (kind === 'failed') return send(response, api.handle(call, { done }));
    const answer = done ? api.handle(call) : undefined;
    if (kind === 'never') return;
    if (kind === 'reset') return reset(request);
    const other = kind === 'another' ? state.answerAboutAnother(`${call.path} ${answer?.body ?? ''}`, random()) : undefined;
    send(response, { status: 200, body: other ?? '{"id": "pi_', replayed: false });
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://${host}:${port}`;

  // Only now: the file of a sandbox that has the port already is left alone.
  const ledger = openLedger();
  const state = new SandboxState({
    ledger,
    now,
    softDeclines: options.softDeclines ?? 1,
    actionUrl: options.actionUrl ?? ((intent) => `${url}/authenticate/${intent}`),
    emit: (event) => webhooks?.post(event),
  });
  const api = new SandboxApi({
    state,
    processingQuestions: options.processingQuestions ?? Infinity,
    keysMs: options.keysMs ?? dayMs,
    searchLagMs: options.searchLagMs ?? 60_000,
  });

  function openLedger(): SandboxLedger {
    try {
      return new SandboxLedger(options.file);
    } catch (error) {
      server.close();
      throw error;
    }
  }

  return {
    host,
    port,
    url,
    connection: { secretKey, webhookSecret, host, port, protocol: 'http' },
    ledger,
    calls: () => calls,
    approve: (intent) => state.approve(intent),
    reject: (intent) => state.reject(intent),
    lapse: (intent) => state.lapse(intent),
    dispute: (intent, dispute = {}) => state.dispute(intent, dispute),
    moveDispute: (dispute, status) => state.moveDispute(dispute, status),
    settleRefund: (refund, status) => state.settleRefund(refund, status),
    async stop() {
      stopping.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([closed, webhooks?.stop()]);
      ledger.close();
    },
  };
}

/** undefined: too large. */
async function read(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > largestForm) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function fault(status: number, message: string): Pick<ApiAnswer, 'status' | 'body' | 'replayed'> {
  return { status, body: JSON.stringify({ error: { type: 'invalid_request_error', message } }), replayed: false };
}

function headersOf({ body, replayed }: Pick<ApiAnswer, 'body' | 'replayed'>): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'request-id': newId('req'),
    ...(replayed ? { 'idempotent-replayed': 'true' } : {}),
  };
}

function send(response: ServerResponse, answer: Pick<ApiAnswer, 'status' | 'body' | 'replayed'>): void {
  response.writeHead(answer.status, headersOf(answer)).end(answer.body);
}

function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}

/** The second time nobody has asked: at once where the connection ends, later where it is kept and serves other calls by then. */
function sendTwice({ headers, socket }: IncomingMessage, response: ServerResponse, answer: ApiAnswer): void {
  const lines = Object.entries(headersOf(answer)).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = `HTTP/1.1 ${answer.status} Answer\r\n${lines.join('')}\r\n${answer.body}`;
  if (headers.connection !== 'keep-alive') {
    socket.end(`${bytes}${bytes}`);
    return;
  }
  response.once('finish', () => setTimeout(() => socket.writable && socket.write(bytes), secondAnswerMs));
  send(response, answer);
}
