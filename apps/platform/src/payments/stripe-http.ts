/**
 * How calls reach Stripe. The SDK's own client cannot be used where money moves: it repeats a call by itself when the connection is
 * reset, whatever `maxNetworkRetries` says (stripe-node issue 2808); it ends the process on an answer such as `5`; it takes no signal;
 * and it bounds pauses, not calls. Each call has a connection of its own: over one that is kept, Node 20 takes an answer that comes
 * twice for the answer to the next call.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Stripe } from 'stripe';

export interface StripeHttp {
  /** For the SDK. Serves only what runs within `call`. */
  readonly client: Stripe.HttpClient;
  /**
   * Runs one call of the SDK.
   *
   * @throws NotSentError, NoAnswerError, the signal's reason when it aborts, and what the SDK makes of an answer
   */
  call<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
}

/** Nothing of the call left this machine. */
export class NotSentError extends Error {
  override readonly name = 'NotSentError';
  readonly code = 'NOT_SENT';
}

/** It was sent, and no whole answer came. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
  readonly code = 'NO_ANSWER';
}

interface Call {
  readonly signal: AbortSignal | undefined;
  /** There is a connection, over TLS where that is asked for: from here on Stripe may have heard. */
  connected: boolean;
  /** Why there is no answer. */
  problem: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A hundred intents with their charges are about 1 MiB. */
const largestAnswer = 16 * 1024 * 1024;

/** What the adapter reads; others make the SDK write warnings. */
const headersRead = ['request-id', 'idempotent-replayed'];

export function createStripeHttp(): StripeHttp {
  const calls = new AsyncLocalStorage<Call>();
  // No connection is kept, but TLS sessions are, which spares half of the next handshake.
  const agents = { http: new HttpAgent({ keepAlive: false }), https: new HttpsAgent({ keepAlive: false }) };

  const send = (options: RequestOptions, body: string, timeoutMs: number): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const call = calls.getStore();
      const secure = options.protocol === 'https:';
      const request = (secure ? httpsRequest : httpRequest)({ ...options, agent: secure ? agents.https : agents.http });
      let ended = false;
      let givenUp: Error | undefined;
      const end = () => {
        ended = true;
        clearTimeout(timer);
        call?.signal?.removeEventListener('abort', stop);
      };
      const fail = (cause: unknown) => {
        // Such as the end of the connection, when the answer is there.
        if (ended) return;
        end();
        if (call !== undefined) call.problem = problemOf(givenUp ?? cause);
        // A code such as ECONNRESET would make the SDK repeat the call.
        reject(new Error('the connection failed', { cause }));
      };
      const giveUp = (why: string) => {
        givenUp = new Error(why);
        request.destroy(givenUp);
      };
      const stop = () => giveUp('stopped');
      const timer = setTimeout(() => giveUp(`no whole answer within ${timeoutMs} ms`), timeoutMs);
      if (call?.signal?.aborted) stop();
      call?.signal?.addEventListener('abort', stop, { once: true });
      request.once('socket', (socket) => {
        socket.once(secure ? 'secureConnect' : 'connect', () => {
          if (call !== undefined) call.connected = true;
        });
      });
      request.on('error', fail);
      request.once('response', (response) => {
        read(response).then((text) => {
          end();
          resolve({ status: response.statusCode ?? 0, headers: pick(response), body: text });
        }, fail);
      });
      request.end(body);
    });

  return {
    client: {
      getClientName: () => 'node',
      async makeRequest(host, port, path, method, headers, body, protocol, timeoutMs) {
        const answer = await send({ host, port, path, method, headers, protocol: `${protocol}:` }, body, timeoutMs);
        return {
          getStatusCode: () => answer.status,
          getHeaders: () => answer.headers,
          getRawResponse: () => ({ statusCode: answer.status }),
          toStream: () => {
            throw new Error('the adapter streams nothing');
          },
          toJSON: async () => parse(answer),
        };
      },
    },
    async call(signal, work) {
      signal?.throwIfAborted();
      const call: Call = { signal, connected: false, problem: undefined };
      try {
        return await calls.run(call, work);
      } catch (error) {
        signal?.throwIfAborted();
        if (!call.connected) throw new NotSentError(`no connection came about: ${call.problem ?? 'unknown reason'}`, { cause: error });
        if (call.problem !== undefined) throw new NoAnswerError(call.problem, { cause: error });
        throw error;
      }
    },
  };
}

interface RequestOptions {
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string | number | string[]>>;
  readonly protocol: string;
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > largestAnswer) throw new Error('the answer is too large');
  }
  if (!response.complete) throw new Error('the answer was cut off');
  return Buffer.concat(chunks).toString('utf8');
}

/** The system's code, such as ECONNREFUSED, or a sentence of this file. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown reason';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function pick(response: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    headersRead.flatMap((name) => {
      const value = response.headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}

/** The SDK believes whatever is JSON, and tells errors by their field alone, not by the status. */
function parse({ status, body }: Answer): object {
  const json: unknown = JSON.parse(body);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Error('the answer is no JSON object');
  const failed = 'error' in json && typeof json.error === 'object' && json.error !== null;
  const fits = failed ? status >= 400 : status >= 200 && status < 300;
  if (!fits) throw new Error('the answer does not fit its status');
  return json;
}
