/** The pages say what the code does: tables match, links lead somewhere, TypeScript blocks compile, commands exist. */
import { execFile } from 'node:child_process';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { readSettings, SettingsError, settingNames } from '../apps/platform/src/settings.ts';
import { defaults } from '../packages/taktline/src/app/settings.ts';
import { lateMs } from '../packages/taktline/src/beat/due-ticks.ts';
import { defaultDedupeMs } from '../packages/taktline/src/client/client.ts';
import { errorCodes } from '../packages/taktline/src/support/taktline-error.ts';
import { historyLimit } from '../packages/taktline/src/task/job.ts';
import { defaultMaxAttempts, retryPolicy } from '../packages/taktline/src/task/retry-policy.ts';
import { defaultPriority, defaultResultTtlMs, defaultTimeLimitMs } from '../packages/taktline/src/task/task.ts';
import { poisonLosses } from '../packages/taktline/src/worker/recovery.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8');

async function pages(): Promise<string[]> {
  const docs = (await readdir(new URL('../docs/', import.meta.url))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
  return ['README.md', 'CONTRIBUTING.md', ...docs];
}

function rows(page: string): Map<string, string> {
  const cells = page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()));
  return new Map(cells.map(([first, second]) => [first as string, second as string]));
}

function blocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1] as string);
}

it('docs/defaults.md has the defaults of the code', async () => {
  const table = rows(await read('docs/defaults.md'));
  const policy = retryPolicy({ jitter: 0 });
  const minutes = (ms: number) => `${ms / 60_000} min`;
  const seconds = (ms: number) => `${ms / 1_000} s`;
  const hours = (ms: number) => `${ms / 3_600_000} h`;
  const days = (ms: number) => `${ms / 86_400_000} days`;
  expect(Object.fromEntries(table)).toMatchObject({
    Namespace: `\`${defaults.namespace}\``,
    'Payload limit, input or result': `${defaults.payloadLimit / 1_048_576} MiB`,
    'Dead letters are kept': days(defaults.deadLetterTtlMs),
    Attempts: String(defaultMaxAttempts),
    Backoff: `exponential: at once, then ${[1, 2, 3, 4].map((failures) => policy.delayMs(failures, undefined) / 1_000).join(', ')} s`,
    Jitter: `up to ${Math.round((retryPolicy({}, () => 0.999_999).delayMs(1, undefined) / 60_000 - 1) * 100)}% is added`,
    'Time limit': minutes(defaultTimeLimitMs),
    'Result is kept': hours(defaultResultTtlMs),
    'Priority of a job in its queue': `${defaultPriority} (1 last, 10 first)`,
    "A caller's id stays taken": days(defaultDedupeMs),
    'Concurrency of a worker': `${defaults.concurrency}; of a process pool as many children as cores`,
    'Slots of a child': String(defaults.slots),
    'A child has to be ready within': seconds(defaults.startTimeoutMs),
    'Wait that autoscaling aims at': seconds(defaults.targetWaitMs),
    'Lease of a beat': seconds(defaults.beatLeaseMs),
    'A tick is late after': seconds(lateMs),
    'Schema of the outbox': `\`${defaults.outboxSchema}\``,
    'Effects are known': days(defaults.effectsTtlMs),
    'Name of a worker': `\`${defaults.workerName}\``,
    Lease: seconds(defaults.leaseMs),
    'Shutdown grace': seconds(defaults.shutdownGraceMs),
    'Poll of an idle worker': seconds(defaults.pollMs),
    'Grace of an unknown task': hours(defaults.unknownTaskGraceMs),
    'History of a job': `the newest ${historyLimit} attempts`,
    'Losses alone that make a dead letter': String(poisonLosses),
  });
});

it('docs/platform.md has every setting, with the defaults of the code and what production needs', async () => {
  const [, section = ''] = /^## Settings$([\s\S]*?)^## /m.exec(await read('docs/platform.md')) ?? [];
  const table = rows(section);
  table.delete('Variable');
  table.delete('---');
  expect([...table.keys()].toSorted()).toEqual(settingNames.map((name) => `\`${name}\``).toSorted());
  const settings = readSettings({});
  const mail = readSettings({ SMTP_URL: 'smtp://mail.example', MAIL_FROM: 'a@example.com' }).smtp;
  expect(Object.fromEntries(table)).toMatchObject({
    '`SMTP_RATE`': String(mail?.ratePerSecond),
    '`SMTP_CONNECTIONS`': String(mail?.connections),
    '`HOST`': settings.host,
    '`PORT`': String(settings.port),
    '`API_RATE`': String(settings.apiRate),
    '`PLATFORM_TZ`': settings.timeZone,
    '`DEMO_SPEED`': String(settings.demoSpeed),
    '`TAKTLINE_LOG_LEVEL`': settings.logLevel,
    '`TAKTLINE_FOLDER`': settings.folder,
  });
  const needed = [...section.matchAll(/^\| `(\w+)` \|[^|]*\| needed/gm)].map(([, name]) => name);
  const missing = () => readSettings({ NODE_ENV: 'production' });
  expect(missing).toThrow(SettingsError);
  try {
    missing();
  } catch (error) {
    const names = (error as SettingsError).problems.map((problem) => problem.split(' ')[0]);
    expect(needed.toSorted()).toEqual(names.toSorted());
  }
});

it('docs/errors.md lists every code with its meaning', async () => {
  const table = rows(await read('docs/errors.md'));
  table.delete('Code');
  table.delete('---');
  expect(Object.fromEntries(table)).toEqual(
    Object.fromEntries(Object.entries(errorCodes).map(([code, meaning]) => [`\`${code}\``, meaning])),
  );
});

it('every link to a file leads to one', async () => {
  for (const page of await pages()) {
    const text = await read(page);
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      await expect(
        access(new URL(target as string, new URL(`../${page}`, import.meta.url))),
        `${page} links to ${target}`,
      ).resolves.toBeUndefined();
    }
  }
});

it('every npm command on the pages is a script', async () => {
  const scripts = (JSON.parse(await read('package.json')) as { scripts: Record<string, string> }).scripts;
  for (const page of await pages()) {
    for (const [, run, name] of (await read(page)).matchAll(/npm (run )?(ci|start|test|[a-z:-]+)(?= |$|`|\n)/gm)) {
      if (name === 'ci' || name === 'install' || (run === undefined && !['start', 'test'].includes(name as string))) continue;
      if (name?.startsWith('bench')) continue;
      expect(scripts, `${page}: npm run ${name}`).toHaveProperty(name as string);
    }
  }
});

it('every TypeScript block compiles', async () => {
  const folder = await mkdtemp(`${root}test/.blocks-`);
  try {
    for (const page of await pages()) {
      for (const [index, block] of blocks(await read(page), 'ts').entries()) {
        await writeFile(`${folder}/${page.replaceAll('/', '-')}-${index}.ts`, block);
      }
    }
    await writeFile(
      `${folder}/tsconfig.json`,
      JSON.stringify({
        extends: '../../tsconfig.test.json',
        compilerOptions: { typeRoots: ['../../node_modules/@types'] },
        include: ['*.ts'],
      }),
    );
    const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
    await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch((error: { stdout: string }) => expect.fail(error.stdout));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
