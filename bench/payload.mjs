/** The jobs that every contestant gets: an object of 150 bytes as JSON, or of another size, each with its own number. */

const usual = 150;

export function input(n, size = usual) {
  const job = { n, to: `user${n}@example.com`, template: 'order_status', note: '' };
  return { ...job, note: 'x'.repeat(size - JSON.stringify(job).length) };
}

export function inputs(from, to, size = usual) {
  const list = [];
  for (let n = from; n < to; n++) list.push(input(n, size));
  return list;
}
