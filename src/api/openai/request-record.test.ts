import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { RequestRecord } from '@/api/openai/request-record';
import { renderMetrics } from '@/features/usage/metrics';

process.env.LOG_LEVEL = 'silent';

const streamsOpen = async () => {
  const pool = { accounts: {}, resting: {}, queueLength: 0, sessionStock: 0 };
  const { text } = await renderMetrics(pool);
  return Number(/^gemini_pool_streams_open (\S+)$/m.exec(text)?.[1]);
};

it('counts a stream once, however often it is told of it', async () => {
  const options = { route: '/v1/chat/completions', logged: false };
  const record = new RequestRecord('request', options.route, options);
  record.beginStream();
  record.beginStream();
  expect(await streamsOpen()).toBe(1);
  record.finish(200, null);
  record.finish(200, null);
  await turn();
  expect(await streamsOpen()).toBe(0);
});
