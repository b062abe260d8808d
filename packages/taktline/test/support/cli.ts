/** Runs the built command line as a user does: a process of its own, with nothing of this process's settings. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type TestNamespace, testNamespace } from './namespace.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const fixture = fileURLToPath(new URL('../fixtures/cli-app.mjs', import.meta.url));

export interface Surroundings {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** For standard input, which is closed after it. */
  readonly input?: string;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that ends by itself; one that does not is killed, and fails the test. */
const patienceMs = 30_000;

export class Cli {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], { env = {}, cwd, input = '' }: Surroundings = {}) {
    const { PATH, HOME, TMPDIR } = process.env;
    this.process = spawn(process.execPath, [main, ...args], {
      env: Object.fromEntries(Object.entries({ PATH, HOME, TMPDIR, ...env }).filter(([, value]) => value !== undefined)),
      cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A command that does not read its input closes it.
    this.process.stdin?.on('error', () => undefined);
    this.process.stdin?.end(input);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), patienceMs);
    this.ended = once(this.process, 'close').then(([code]) => {
      clearTimeout(timer);
      return { code: code as number | null, stdout: this.stdout, stderr: this.stderr };
    });
  }

  /** Resolves when standard error has shown this. Rejects when the command ends first. */
  async said(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stderr)) {
      const over = await Promise.race([
        once(this.process.stderr as NodeJS.ReadableStream, 'data').then(() => false),
        this.ended.then(() => true),
      ]);
      if (over && !pattern.test(this.stderr)) throw new Error(`the command ended without saying ${String(pattern)}:\n${this.stderr}`);
    }
  }

  /** Kills it if it still lives, and waits for its end. */
  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.ended;
  }
}

/** The app of the tests in a namespace of its own, and the commands run on it. */
export class Shell {
  readonly space: TestNamespace;
  readonly #started: Cli[] = [];

  private constructor(space: TestNamespace) {
    this.space = space;
  }

  static async open(): Promise<Shell> {
    return new Shell(await testNamespace());
  }

  /** The settings under which the app is found. */
  get env(): Record<string, string> {
    return { BROKER_URL: this.space.url, TEST_NAMESPACE: this.space.name, TAKTLINE_APP: fixture };
  }

  /** Options for the same place without the app: what those see who have only the URL. */
  get byUrl(): readonly string[] {
    return ['--broker', this.space.url, '--namespace', this.space.name];
  }

  start(args: readonly string[], surroundings: Surroundings = {}): Cli {
    const cli = new Cli(args, { ...surroundings, env: { ...this.env, ...surroundings.env } });
    this.#started.push(cli);
    return cli;
  }

  run(args: readonly string[], surroundings?: Surroundings): Promise<Ended> {
    return this.start(args, surroundings).ended;
  }

  /** What a command that has to succeed prints. */
  async text(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0 || stderr !== '') throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** Its one JSON document. */
  async json(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.text(...args, '--json'));
  }

  /** Enqueues, and gives the id. */
  async call(task: string, input?: unknown, ...options: readonly string[]): Promise<string> {
    return (await this.text('call', task, ...(input === undefined ? [] : ['--input', JSON.stringify(input)]), ...options)).trim();
  }

  /** A worker that has started; `stop ` begins the last line of its banner. What it runs when the test ends does not keep it long. */
  async worker(...options: readonly string[]): Promise<Cli> {
    const cli = this.start(['worker', '--hostname=w1@test', '--concurrency=2', '--grace=100ms', ...options]);
    await cli.said(/^stop /m);
    return cli;
  }

  /** A job that has failed for good. Needs a worker. */
  async deadLetter(input: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const id = await this.call('mail.send', { to: 'a', fail: 'refused', ...input });
    await this.run(['result', id]);
    return id;
  }

  async close(): Promise<void> {
    await Promise.all(this.#started.map((cli) => cli.end()));
    await this.space.drop();
  }
}
