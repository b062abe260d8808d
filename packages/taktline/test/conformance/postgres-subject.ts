/** The subject of the conformance suite for Postgres: a namespace is a schema. */
import pg from 'pg';
import { PostgresBroker } from '../../src/broker/postgres/postgres-broker.ts';
import { PostgresInspector } from '../../src/broker/postgres/postgres-inspector.ts';
import { PostgresTimetable } from '../../src/broker/postgres/postgres-timetable.ts';
import { OwnServer } from '../support/own-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type BrokerKind, ServerSpace, SharedSpace } from './spaces.ts';
import { queues, type Subject } from './subject.ts';

/**
 * @param url of the server that all tests share
 * @param binaries for servers of a test's own
 */
export function postgresSubject(url: () => string, binaries?: string): Subject {
  return {
    space: async () => new SharedSpace(onPostgres, url()),
    ownServer: async () => {
      const server = await OwnServer.make({ binaries });
      const proxy = await TcpProxy.before(server.port);
      return new ServerSpace(onPostgres, server.url({ port: proxy.port }), server, proxy);
    },
  };
}

const onPostgres: BrokerKind = {
  make(url, namespace, settings) {
    const broker = new PostgresBroker({
      url: () => Promise.resolve(url),
      heartbeat: { url },
      namespace,
      queues,
      deadLetterTtlMs: 86_400_000,
      ...settings,
    });
    return { broker, inspector: new PostgresInspector(broker, namespace, 'the test server'), timetable: new PostgresTimetable(broker) };
  },
  async clear(url, namespace) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query(`drop schema if exists "${namespace}" cascade`);
    await client.end();
  },
};
