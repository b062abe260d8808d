/** `npm run accounts`. What is wrong is told in a line, without a stack. */
import { CommanderError } from 'commander';
import { TaktlineError } from 'taktline';
import { AccountError } from './accounts/account-error.ts';
import { accountsCommand } from './accounts/accounts-command.ts';
import { SettingsError } from './settings.ts';

try {
  await accountsCommand(process.env).parseAsync();
} catch (error) {
  process.exitCode = failed(error);
}

function failed(error: unknown): number {
  // Commander has said it already; help is no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const ours = error instanceof SettingsError || error instanceof TaktlineError || error instanceof AccountError;
  process.stderr.write(`${ours ? '' : 'accounts: '}${error instanceof Error ? error.message : 'something went wrong'}\n`);
  return error instanceof SettingsError ? 2 : 1;
}
