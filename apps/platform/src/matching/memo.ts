/**
 * Remembers what a function gave. Matching asks for the same few days thousands of times for one order, and days are costly to
 * calculate with: half the time of a ranking went there.
 */

/** @param of gives the same for the same key, always; what is remembered lives as long as the function that comes back */
export function memo<Key extends string | number, Value>(of: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, { readonly value: Value }>();
  return (key) => {
    const found = known.get(key);
    if (found !== undefined) return found.value;
    const value = of(key);
    known.set(key, { value });
    return value;
  };
}
