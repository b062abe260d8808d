/** A real broker or inspector with some of its verbs replaced: to see what is asked of it, and to lose a request or a reply. */
export function watched<Target extends object>(target: Target, verbs: Partial<Target>): Target {
  return new Proxy(target, {
    get: (_, verb) => {
      const value: unknown = Reflect.has(verbs, verb) ? Reflect.get(verbs, verb) : Reflect.get(target, verb, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
