/** A logger that keeps its lines, so that a test can read what was said and what was not. */
import { jsonLogger, type Logger } from '../../src/support/logger.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export class LogLines {
  /** As they would have been written. */
  readonly raw: string[] = [];
  readonly logger: Logger = jsonLogger('debug', (line) => void this.raw.push(line));

  get lines(): readonly LogLine[] {
    return this.raw.map((line) => JSON.parse(line) as LogLine);
  }

  with(message: string | RegExp): readonly LogLine[] {
    return this.lines.filter((line) => (typeof message === 'string' ? line.message.includes(message) : message.test(line.message)));
  }
}
