/** A copy in which absent fields are absent, not undefined: that is how they print as JSON, and how types have them. */
export function withoutUndefined<Value extends object>(value: { readonly [Key in keyof Value]: Value[Key] | undefined }): Value {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Value;
}
