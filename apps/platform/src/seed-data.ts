/** `npm run seed-data -- --orders 10000`: fills an empty database with sample data of the marketplace, the same for the same options. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { TaktlineError } from 'taktline';
import { addDays, CalendarError, dayIn } from './calendar/business-days.ts';
import { withPlatformDatabase } from './database/open-database.ts';
import { sampleData } from './demo/sample-data.ts';
import { NotEmptyError, storeSamples } from './demo/sample-store.ts';
import { readSettings, SettingsError } from './settings.ts';

interface Options {
  readonly orders: number;
  readonly manufacturers?: number;
  readonly seed: number;
  readonly from?: string;
  readonly json?: boolean;
}

const program = new Command('seed-data')
  .description('fill the empty database of DATABASE_URL, or the embedded one, with sample data: users, manufacturers, draft orders')
  .addOption(new Option('--orders <number>', 'how many orders').default(1_000).argParser(wholeNumber(1_000_000)))
  .addOption(
    new Option('--manufacturers <number>', 'how many manufacturers (default: one for 30 orders, 8 to 300)').argParser(wholeNumber(5_000)),
  )
  .addOption(new Option('--seed <number>', 'other data for another number').default(1).argParser(wholeNumber(2 ** 32 - 1)))
  .addOption(new Option('--from <day>', 'the day on which the orders come, such as 2026-11-30 (default: today)').argParser(day))
  .option('-j, --json', 'print a JSON document')
  .action(run);

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
});

async function run({ orders, manufacturers, seed, from, json = false }: Options): Promise<void> {
  const settings = readSettings(process.env);
  await withPlatformDatabase(settings, async ({ database, databaseAt }) => {
    const data = sampleData({
      orders,
      seed,
      from: from ?? dayIn(settings.timeZone, new Date()),
      ...(manufacturers === undefined ? {} : { manufacturers }),
    });
    const tell = (done: number) => void (process.stderr.isTTY && process.stderr.write(`\r${done} of ${orders} orders`));
    const stored = await storeSamples(database, data, tell);
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    if (json) process.stdout.write(`${JSON.stringify(stored)}\n`);
    else {
      const { buyers, manufacturers: makers, firstOrder = 0 } = stored;
      process.stdout.write(
        `${databaseAt}: ${buyers} buyers, ${makers} manufacturers, ${stored.orders} draft orders (${firstOrder} to ${firstOrder + stored.orders - 1})\n`,
      );
    }
  });
}

function wholeNumber(highest: number) {
  return (text: string): number => {
    if (!/^\d{1,10}$/.test(text) || Number(text) > highest) throw new InvalidArgumentError(`expected a whole number from 0 to ${highest}.`);
    return Number(text);
  };
}

function day(text: string): string {
  try {
    return addDays(text, 0);
  } catch (error) {
    if (error instanceof CalendarError) throw new InvalidArgumentError('expected a day such as 2026-11-30.');
    throw error;
  }
}

function explain(error: unknown): string {
  if (error instanceof SettingsError || error instanceof NotEmptyError || error instanceof TaktlineError) return error.message;
  return error instanceof Error ? `The sample data could not be stored: ${error.message}` : 'The sample data could not be stored.';
}
