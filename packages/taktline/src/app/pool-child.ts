/**
 * A child process of a pool: loads the app as the worker's own process did, and runs its tasks. What runs is decided by the
 * worker; see worker/pools/child-runner.ts.
 */
import { fileURLToPath } from 'node:url';
import { liveAsChild } from '../worker/pools/child-runner.ts';
import { loadApp } from './load-app.ts';

liveAsChild(async (settings) => (await loadApp(fileURLToPath(settings.module))).poolChild(settings));
