/** Who calls: the key of a request, looked up before any route. What a role may do is said by each route. */
import type { Context, MiddlewareHandler } from 'hono';
import { authenticate, type Caller } from '../../accounts/api-keys.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import type { UserRole } from '../../database/marketplace-tables.ts';
import { BadKeys } from './bad-keys.ts';
import { ApiError } from './errors.ts';
import { burstSeconds, type UserRates } from './user-rates.ts';

/** What every route of the API finds in its context. */
export interface ApiEnv {
  Variables: { caller: Caller };
}

/** @throws ApiError `UNAUTHORISED`, `TOO_MANY_BAD_KEYS` */
export function keyed(database: PlatformDatabase, bad = new BadKeys()): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const header = c.req.header('authorization');
    const caller = await authenticate(database, header);
    // A good key is never made to wait: behind one proxy there are good callers too.
    if (caller === undefined) throw refusal(header === undefined ? undefined : bad.note(addressOf(c)));
    c.set('caller', caller);
    return next();
  };
}

/** @throws ApiError `TOO_MANY_REQUESTS` */
export function limited(rates: UserRates): MiddlewareHandler<ApiEnv> {
  const policy = `"user";q=${rates.burst};w=${burstSeconds}`;
  return (c, next) => {
    const { left, fullMs, waitMs } = rates.take(c.get('caller').user);
    c.header('ratelimit-policy', policy);
    c.header('ratelimit', `"user";r=${left};t=${Math.ceil(fullMs / 1_000)}`);
    if (waitMs > 0) throw new ApiError('TOO_MANY_REQUESTS', { headers: { 'retry-after': String(Math.ceil(waitMs / 1_000)) } });
    return next();
  };
}

/** @throws ApiError `FORBIDDEN` */
export function only(roles: readonly UserRole[]): MiddlewareHandler<ApiEnv> {
  return (c, next) => {
    if (!roles.includes(c.get('caller').role)) throw new ApiError('FORBIDDEN');
    return next();
  };
}

function refusal(wait: number | undefined): ApiError {
  if (wait !== undefined) return new ApiError('TOO_MANY_BAD_KEYS', { headers: { 'retry-after': String(wait) } });
  return new ApiError('UNAUTHORISED', { headers: { 'www-authenticate': 'Bearer' } });
}

/**
 * Whom a bad key counts for. This server listens on loopback only, so whoever comes from elsewhere comes by a proxy on this machine,
 * and the last entry is the address that the proxy has seen; all others are this machine.
 */
function addressOf(c: Context): string {
  return (c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() ?? '').slice(0, 64);
}
