/**
 * The logger interface that the engine writes to, and two small implementations. pino fits the interface through a
 * two-line adapter (docs/logging.md); the engine installs no logger of its own.
 */

/** Plain values that go beside a message. Never an input, a result or a secret. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the engine and `ctx.log` write to. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Writes one JSON object a line to standard error; lines below `level` are dropped. */
export function jsonLogger(level: LogLevel = 'info', write = (line: string) => void process.stderr.write(line)): Logger {
  const lowest = logLevels.indexOf(level);
  const at = (name: Exclude<LogLevel, 'silent'>) => (message: string, fields?: LogFields) => {
    if (logLevels.indexOf(name) < lowest) return;
    const line = { time: new Date().toISOString(), level: name, message };
    write(`${json({ ...line, ...fields }) ?? JSON.stringify({ ...line, fields: 'left out: they cannot be written as JSON' })}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Undefined for what JSON does not hold (a circle, a BigInt): a log line must not fail the task that wrote it. */
function json(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** Drops everything. */
export const silentLogger: Logger = jsonLogger('silent');
