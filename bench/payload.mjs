/** The jobs that every contestant gets: an object of 150 bytes as JSON, each with its own number. */

const size = 150;

export function input(n) {
  const job = { n, to: `user${n}@example.com`, template: 'order_status', note: '' };
  return { ...job, note: 'x'.repeat(size - JSON.stringify(job).length) };
}

export function inputs(from, to) {
  const list = [];
  for (let n = from; n < to; n++) list.push(input(n));
  return list;
}
