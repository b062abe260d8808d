/**
 * Where the main thread's code is, seen from another thread by the inspector, also while the main thread does not return to
 * its loop. It costs nothing until it is asked. Code that is in no JavaScript (a native function) has no stack to show.
 */
import { Session } from 'node:inspector';

export interface Blocked {
  /** `function (file:line:column)`, innermost first; at most ten lines. */
  readonly stack: string;
  /** What `reportRunning` gave. */
  readonly running: string;
}

/** The main thread keeps a function here that says which jobs run. */
const key = 'taktline.running';

/** Called by the main thread. @param running says which jobs run, in one line */
export function reportRunning(running: () => string): void {
  (globalThis as Record<symbol, unknown>)[Symbol.for(key)] = running;
}

interface Frame {
  readonly functionName: string;
  readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number };
}

/** Called by another thread. @returns undefined when the main thread was in no JavaScript for so long */
export async function blockedStack(withinMs: number): Promise<Blocked | undefined> {
  const session = new Session();
  const files = new Map<string, string>();
  session.on('Debugger.scriptParsed', ({ params }) => files.set(params.scriptId, params.url));
  let timer: NodeJS.Timeout | undefined;
  try {
    session.connectToMainThread();
    const paused = new Promise<readonly Frame[]>((resolve) =>
      session.once('Debugger.paused', ({ params }) => resolve(params.callFrames as unknown as readonly Frame[])),
    );
    // Posted from here, an answer comes when the main thread gets to it, in the middle of whatever it runs.
    session.post('Debugger.enable');
    session.post('Debugger.pause');
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), withinMs);
    });
    const frames = await Promise.race([paused, late]);
    if (frames === undefined) return undefined;
    const running = await Promise.race([evaluated(session), late]);
    session.post('Debugger.resume');
    return {
      stack: frames
        .slice(0, 10)
        .map((frame) => line(frame, files))
        .join('\n'),
      running: running ?? '',
    };
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    session.disconnect();
  }
}

function evaluated(session: Session): Promise<string> {
  return new Promise((resolve) => {
    const expression = `globalThis[Symbol.for(${JSON.stringify(key)})]?.() ?? ''`;
    session.post('Runtime.evaluate', { expression, returnByValue: true }, (error, reply) => {
      const value: unknown = error === null ? reply?.result.value : '';
      resolve(typeof value === 'string' ? value : '');
    });
  });
}

function line({ functionName, location }: Frame, files: ReadonlyMap<string, string>): string {
  const file = files.get(location.scriptId) ?? '';
  return `${functionName || '(anonymous)'} (${file}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1})`;
}
