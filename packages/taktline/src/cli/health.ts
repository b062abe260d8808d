/** `--health-port` and `--health-host`: where a command that runs for long answers probes. */
import type { Command } from 'commander';
import { type Health, HealthServer } from '../support/health-server.ts';
import { note } from './output.ts';
import { parsePort } from './values.ts';

export interface HealthOptions {
  readonly healthPort?: number;
  readonly healthHost: string;
}

export function withHealth(command: Command): Command {
  return command
    .option('--health-port <port>', 'answer GET /health there: 200 while it does its work, 503 when it is stuck', parsePort)
    .option('--health-host <address>', 'where to listen for that; 0.0.0.0 for probes from elsewhere', '127.0.0.1');
}

/** Listens, if that was asked for. @throws TaktlineError `INVALID_OPTION` when it cannot */
export async function answerProbes(
  options: HealthOptions,
  look: () => Promise<Readonly<Record<string, Health | undefined>>>,
): Promise<HealthServer | undefined> {
  const { healthPort: port, healthHost: host } = options;
  if (port === undefined) return undefined;
  const server = await HealthServer.start({ port, host, look });
  note(`health  http://${host.includes(':') ? `[${host}]` : host}:${server.port}/health`);
  return server;
}
