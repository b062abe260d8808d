/** The settings of the benchmark's Postgres: durable, roomy enough that no run waits for a checkpoint, else the defaults. */

export const settings = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  min_wal_size: '2GB',
  checkpoint_timeout: '60min',
  effective_cache_size: '2GB',
  max_connections: '200',
  autovacuum: 'on',
};
