/**
 * What matching was asked that cannot be answered. The error names the field at fault and never its value: orders hold what buyers
 * keep to themselves.
 */

export class MatchingError extends Error {
  override readonly name = 'MatchingError';
  /** Of an order, of weights, of orders and capacity that are to be assigned, or of an option. */
  readonly code: 'INVALID_NEED' | 'INVALID_WEIGHTS' | 'INVALID_PROBLEM' | 'INVALID_OPTION';
  /** Such as `quantity`, or `orders[3].choices[0].score`. */
  readonly field: string;

  /** @param expected what the field has to be, in words */
  constructor(code: MatchingError['code'], field: string, expected: string) {
    super(`${field}: expected ${expected}`);
    this.code = code;
    this.field = field;
  }
}
