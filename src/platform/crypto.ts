import {
  createCipheriv,
  createDecipheriv,
  hash,
  randomBytes,
  randomUUID,
  scryptSync,
  timingSafeEqual,
} from 'node:crypto';
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const FORMAT = 'v1.';
// One product, one salt: a passphrase must give the same key on every machine of the operator.
const PASSPHRASE_SALT = 'business-gemini-pool/at-rest';

/** The file that holds the generated key, in the data folder. */
export const KEY_FILE = 'encryption.key';

/**
 * The 32 bytes that `text` stands for: 64 hex or 44 base64 characters are the key itself, any
 * other text of 16 characters or more is stretched with scrypt.
 * @throws AppError `invalid_request` if it is shorter
 */
export function toEncryptionKey(text: string): Buffer {
  const key = wholeKey(text);
  if (key) return key;
  if (text.length < 16) {
    throw new AppError('invalid_request', 'ENCRYPTION_KEY must have 16 characters or more.');
  }
  return scryptSync(text, PASSPHRASE_SALT, KEY_BYTES);
}

function wholeKey(text: string): Buffer | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64');
  return null;
}

/**
 * Loads the key of this process: from the environment, else from the key file, else (only where
 * `mayCreate`, that is, when nothing was encrypted yet) a new one in a file of mode 0600.
 * @throws AppError `conflict` if there is no key and a new one must not be made, or if the key file
 *   holds none
 */
export function loadEncryptionKey(mayCreate: boolean): void {
  processState('encryption-key', () => {
    const { encryptionKey, dataDir } = env();
    if (encryptionKey) return toEncryptionKey(encryptionKey);
    const file = path.join(/*turbopackIgnore: true*/ dataDir, KEY_FILE);
    if (existsSync(file)) return readKeyFile(file);
    if (mayCreate) return makeKeyFile(file);
    throw new AppError(
      'conflict',
      `The database has secrets, but its key is missing. Put the file ${KEY_FILE} back into ${dataDir}, or set ENCRYPTION_KEY to the key that was used.`,
    );
  });
}

/** Of processes that start at once, one makes the key and all others take that one. */
function makeKeyFile(file: string): Buffer {
  const key = randomBytes(KEY_BYTES);
  const temporary = `${file}.${randomUUID()}`;
  // Under its own name it is there whole or not at all, whenever the process or the machine dies.
  writeFileSync(temporary, `${key.toString('hex')}\n`, { mode: 0o600, flag: 'wx', flush: true });
  try {
    linkSync(temporary, file);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return readKeyFile(file);
    throw error;
  } finally {
    unlinkSync(temporary);
  }
}

function readKeyFile(file: string): Buffer {
  const key = wholeKey(readFileSync(file, 'utf8').trim());
  if (key) return key;
  throw new AppError(
    'conflict',
    `The key file ${file} is empty or damaged: it must hold 64 hex characters. Put it back from a backup, or delete it if nothing is stored yet.`,
  );
}

function encryptionKey(): Buffer {
  return processState<Buffer>('encryption-key', () => {
    throw new Error('loadEncryptionKey was not called.');
  });
}

/** `plain` sealed with AES-256-GCM, as text: `v1.` and base64url of nonce, ciphertext and tag. */
export function encrypt(plain: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', encryptionKey(), nonce);
  const sealed = Buffer.concat([
    nonce,
    cipher.update(plain, 'utf8'),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return FORMAT + sealed.toString('base64url');
}

/**
 * The text that `encrypt` sealed.
 * @throws AppError `conflict` if the key is another one or the text was changed
 */
export function decrypt(sealedText: string): string {
  const sealed = Buffer.from(sealedText.slice(FORMAT.length), 'base64url');
  try {
    if (!sealedText.startsWith(FORMAT)) throw new Error('unknown format');
    const decipher = createDecipheriv(
      'aes-256-gcm',
      encryptionKey(),
      sealed.subarray(0, NONCE_BYTES),
    );
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const body = sealed.subarray(NONCE_BYTES, -TAG_BYTES);
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
  } catch (error) {
    throw new AppError(
      'conflict',
      `The encryption key does not fit the database. Restore ${KEY_FILE} or ENCRYPTION_KEY as it was.`,
      { cause: error },
    );
  }
}

/** Whether both are the same, in a time that tells nothing of how much of them is. */
export function isSameSecret(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'));
}

/** Hex SHA-256. */
export function sha256Hex(text: string): string {
  return hash('sha256', text, 'hex');
}
