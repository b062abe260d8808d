/** For `expect.poll`: how long a test waits for what will come, on a machine that is busy with other things too. */
export const patience = { timeout: 30_000, interval: 20 };
