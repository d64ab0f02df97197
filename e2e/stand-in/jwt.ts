import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { Accounts, StandInAccount } from './accounts';
import { asRecord, asString, parseJson } from './json-value';

const maxKeys = 10_000;
const issuer = 'https://business.gemini.google';
const audience = 'https://biz-discoveryengine.googleapis.com';

interface SigningKey {
  account: StandInAccount;
  secret: KeyObject;
}

/** Whom a request comes from; `refusal` says in plain words why it is not believed. */
export interface Identity {
  account: StandInAccount | null;
  refusal: string | null;
}

/** The HMAC keys that the key host has handed out. */
export class KeyRing {
  readonly #keys = new Map<string, SigningKey>();

  /** A fresh key in the form of upstream-protocol 4.2; earlier ones stay good. */
  issue(account: StandInAccount): { xsrfToken: string; keyId: string } {
    const secret = randomBytes(32);
    const keyId = randomBytes(12).toString('base64url');
    this.#keys.set(keyId, { account, secret: createSecretKey(secret) });
    if (this.#keys.size > maxKeys) {
      const oldest = this.#keys.keys().next();
      if (oldest.done !== true) this.#keys.delete(oldest.value);
    }
    return { xsrfToken: secret.toString('base64url'), keyId };
  }

  /** Takes in a key that was not made here, such as that of the test vector. */
  put(keyId: string, account: StandInAccount, secret: Uint8Array): void {
    this.#keys.set(keyId, { account, secret: createSecretKey(secret) });
  }

  find(keyId: string): SigningKey | null {
    return this.#keys.get(keyId) ?? null;
  }
}

/** Judges an Authorization header by upstream-protocol 5, on a clock of `nowMs`. */
export function identify(
  authorization: string | undefined,
  keys: KeyRing,
  accounts: Accounts,
  nowMs: number,
): Identity {
  if (authorization === undefined) return { account: null, refusal: 'no authorization' };
  if (!authorization.startsWith('Bearer ')) return { account: null, refusal: 'no bearer' };
  const [header = '', payload = '', signature = '', ...rest] = authorization.slice(7).split('.');
  if (signature === '' || rest.length > 0) return { account: null, refusal: 'not a JWT' };
  const head = decode(header);
  const claims = decode(payload);
  const csesidx = asString(claims.sub)?.replace(/^csesidx\//, '') ?? '';
  const account = accounts.byCsesidx(csesidx);
  const key = keys.find(asString(head.kid) ?? '');
  const refusal =
    headerRefusal(head) ??
    signatureRefusal(key, account, `${header}.${payload}`, signature) ??
    claimsRefusal(claims, csesidx, nowMs / 1000);
  return { account, refusal };
}

function headerRefusal(head: Record<string, unknown>): string | null {
  if (head.alg !== 'HS256') return 'alg is not HS256';
  return head.typ === 'JWT' ? null : 'typ is not JWT';
}

function signatureRefusal(
  key: SigningKey | null,
  account: StandInAccount | null,
  signed: string,
  signature: string,
): string | null {
  if (key === null) return 'kid is unknown';
  if (key.account !== account) return 'kid belongs to another account than sub';
  const expected = createHmac('sha256', key.secret).update(signed).digest('base64url');
  return expected === signature ? null : 'signature is wrong';
}

function claimsRefusal(
  claims: Record<string, unknown>,
  csesidx: string,
  nowSeconds: number,
): string | null {
  if (claims.iss !== issuer) return 'iss is wrong';
  if (claims.aud !== audience) return 'aud is wrong';
  if (claims.sub !== `csesidx/${csesidx}`) return 'sub is wrong';
  if (typeof claims.iat !== 'number') return 'iat is missing';
  if (typeof claims.nbf !== 'number' || claims.nbf > nowSeconds) return 'not valid yet';
  return typeof claims.exp === 'number' && nowSeconds < claims.exp ? null : 'expired';
}

function decode(part: string): Record<string, unknown> {
  return asRecord(parseJson(Buffer.from(part, 'base64url').toString()));
}
