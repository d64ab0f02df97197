import { bearerToken } from '@/features/keys/key-format';
import { isSameSecret } from '@/platform/crypto';
import { env } from '@/platform/env';

/** Whether a request has ADMIN_SECRET_KEY as its bearer; never so where there is none. */
export function hasAdminSecret(request: Request): boolean {
  const { adminSecretKey } = env();
  const presented = bearerToken(request.headers);
  return adminSecretKey !== null && presented !== null && isSameSecret(presented, adminSecretKey);
}
