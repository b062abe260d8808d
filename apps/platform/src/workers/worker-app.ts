/**
 * The platform as its worker processes and the command line load it: `taktline --app apps/platform/dist/workers/worker-app.js`.
 * What the tasks work with is opened by the environment when this is imported, and closed when the worker has stopped.
 */
import type { App } from 'taktline';
import { createPlatform } from '../app.ts';
import { createLogger } from '../logging.ts';
import { openResources } from '../resources.ts';
import { readSettings, SettingsError } from '../settings.ts';

const settings = readSettings(process.env);
if (settings.smtp === undefined) {
  throw new SettingsError([
    'SMTP_URL is missing: workers of their own need a mail server, since the local mailbox lives in the process of npm start',
  ]);
}
if (settings.stripe === undefined && settings.sandboxUrl === undefined) {
  throw new SettingsError([
    'STRIPE_SECRET_KEY is missing: workers of their own need a payment provider, or the sandbox of npm start (SANDBOX_GATEWAY_URL)',
  ]);
}
const logger = createLogger({ level: settings.logLevel });
const publicUrl = settings.publicUrl ?? `http://${settings.host}:${settings.port}`;
const resources = await openResources(settings, logger, () => publicUrl);

export const app: App = createPlatform(
  {
    brokerUrl: settings.brokerUrl ?? `embedded:${settings.folder}`,
    databaseUrl: resources.databaseUrl,
    logger,
    hooks: { childStop: () => resources.close() },
  },
  resources.deps,
).app;
