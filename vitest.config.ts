/**
 * Tests run against what is built: an import of a source file of the engine or its siblings is sent to its twin in dist,
 * so that threads and child processes run the same code as the tests. `npm test` builds first.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const sources = /\/(packages|apps)\/([^/]+)\/src\/(.+)(?<!\.test)\.ts$/;

const builtCode: Plugin = {
  name: 'built-code',
  enforce: 'pre',
  resolveId(source, importer) {
    if (importer === undefined || !source.startsWith('.')) return null;
    const path = resolve(importer, '..', source);
    if (!sources.test(path)) return null;
    const built = path.replace('/src/', '/dist/').replace(/\.ts$/, '.js');
    if (!existsSync(built)) throw new Error(`${built} is missing: npm run build`);
    return { id: built, external: true };
  },
};

/** The suites of the brokers take minutes each: begun last, one of them would keep a single worker busy after all the others. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => moduleId.includes('/test/conformance/');
    return (await super.sort(files)).toSorted((one, other) => Number(isLong(other)) - Number(isLong(one)));
  }
}

export default defineConfig({
  plugins: [builtCode],
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'apps/*/{src,test}/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['packages/taktline/test/support/global-setup.ts'],
    testTimeout: 60_000,
    // CI shares its two cores with others; what passed only when repeated is said in its report, and is to be looked at.
    retry: process.env['CI'] === 'true' ? 2 : 0,
    hookTimeout: 120_000,
    pool: 'forks',
    // More than there are cores: most tests wait for servers most of the time.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
  },
});
