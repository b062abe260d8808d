export const reversals: readonly {
  readonly decision: string;
  readonly file: string;
  readonly search: string;
  readonly replace: string;
  readonly tests: string;
  readonly only?: string;
}[];
