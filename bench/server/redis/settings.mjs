/**
 * The settings of the benchmark's Redis: the append-only file is written at once and synced each second, there are no
 * snapshots, and the file is not rewritten in the middle of a run; else the defaults.
 */

export const settings = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  save: '',
  'auto-aof-rewrite-percentage': '0',
  'maxmemory-policy': 'noeviction',
  'io-threads': '1',
};
