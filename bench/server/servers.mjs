/**
 * What the contestants stand on. A server is a folder here with
 *
 *   settings.mjs   what the server is started with, the same for all contestants
 *   host.mjs       start(folder, isOver): runs its processes, in the process of guard.mjs; gives `ready`, close() and what
 *                  else the guard may be asked
 *   server.mjs     startServer(): about(), createDatabase(template, settings) for each run, stop(); in the benchmark's process
 *   store.mjs      openStore(url): how a measured process looks into its database
 */

export const serverNames = ['postgres', 'redis'];

export async function startServer(name) {
  return (await import(`./${name}/server.mjs`)).startServer();
}

export async function openStore(name, url) {
  return (await import(`./${name}/store.mjs`)).openStore(url);
}
