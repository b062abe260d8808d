/** Tasks by name: hostile names find nothing. */
import { expect, it } from 'vitest';
import { TaskRegistry } from './registry.ts';
import { defineTask } from './task.ts';

const task = (name: string) => defineTask({ name, queue: 'q', run: () => null });

it('finds what was added, and lists names sorted', () => {
  const registry = new TaskRegistry();
  const [b, a] = [task('b'), task('a')];
  registry.add(b);
  registry.add(a);
  expect(registry.find('a')).toBe(a);
  expect(registry.names()).toEqual(['a', 'b']);
});

it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', 'prototype', '', '../x'])('finds no task named %j', (name) => {
  const registry = new TaskRegistry();
  registry.add(task('a'));
  expect(registry.find(name)).toBeUndefined();
});

it('a task may be named constructor, and then it is that one', () => {
  const registry = new TaskRegistry();
  const named = task('constructor');
  registry.add(named);
  expect(registry.find('constructor')).toBe(named);
  expect(registry.find('toString')).toBeUndefined();
});

it('refuses a second task of the same name', () => {
  const registry = new TaskRegistry();
  registry.add(task('a'));
  expect(() => registry.add(task('a'))).toThrow(expect.objectContaining({ code: 'DUPLICATE_TASK' }));
});
