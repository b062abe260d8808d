/**
 * What is wrong with an account. `NOT_FOUND`: no such user, manufacturer or key. `EMAIL_TAKEN`: by another user. `WRONG_ROLE`: only a
 * user of role manufacturer can be one. `HAS_PROFILE`: this user is one already. `BELOW_BOOKED`: a week would have less machine time
 * than is booked in it. `VAT_ID_COUNTRY`: it is one of another country than the user's. `VAT_ID_CHANGED`: the user has not this one.
 * `ADDRESS_MISSING`: whoever buys or makes needs one, for invoices.
 */
export class AccountError extends Error {
  override readonly name = 'AccountError';
  readonly code:
    | 'NOT_FOUND'
    | 'EMAIL_TAKEN'
    | 'WRONG_ROLE'
    | 'HAS_PROFILE'
    | 'BELOW_BOOKED'
    | 'VAT_ID_COUNTRY'
    | 'VAT_ID_CHANGED'
    | 'ADDRESS_MISSING';

  constructor(code: AccountError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
