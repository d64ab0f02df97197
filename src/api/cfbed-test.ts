import { hasAdminSecret } from '@/api/admin-secret';
import { jsonReply } from '@/api/reply';
import { uncached } from '@/api/uncached';
import { testCfbed } from '@/features/media/cfbed';
import { isAppError } from '@/platform/errors';
import { log } from '@/platform/log';

/**
 * `POST /api/cfbed/test`: uploads a tiny picture to the image host, for who has ADMIN_SECRET_KEY.
 * Answers as the tests of the Python system do: 200 with `success` and `message`.
 */
export const cfbedTest = uncached('POST', async (request) => {
  if (!hasAdminSecret(request)) {
    return jsonReply(401, { status: 'unauthorized' }, { 'www-authenticate': 'Bearer' });
  }
  try {
    const { url, durationMs } = await testCfbed();
    return jsonReply(200, { success: true, message: `Uploaded in ${durationMs} ms.`, url });
  } catch (error) {
    const isShown = isAppError(error) && error.code !== 'internal';
    if (!isShown) log().error({ err: error }, 'the image host could not be tested');
    const message = isShown ? error.message : 'The server failed. Its log says why.';
    return jsonReply(200, { success: false, message });
  }
});
