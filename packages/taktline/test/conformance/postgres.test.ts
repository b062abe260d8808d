/** The broker contract on the newest Postgres that is embedded: every topic. */
import { describe } from 'vitest';
import { postgresSubject } from './postgres-subject.ts';
import { topics } from './topics.ts';

describe('the newest Postgres', () => {
  const subject = postgresSubject(() => {
    const url = process.env['TAKTLINE_TEST_POSTGRES'];
    if (url === undefined) throw new Error('the test server is missing: run the tests with vitest from the repository root');
    return url;
  });
  for (const topic of topics) topic(subject);
});
