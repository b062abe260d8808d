/** BullMQ's sandboxed processor: what its child processes load. One job at a time in each. */
const load = import('./bullmq-sandbox-task.mjs');

module.exports = async (job) => (await load).perform(job.data);
