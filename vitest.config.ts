import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { alias: { '@': path.join(import.meta.dirname, 'src') } },
  test: {
    include: ['{src,e2e,scripts}/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    globalSetup: 'e2e/support/global-setup.ts',
    // Tests of the whole start servers and browsers, on two shared cores.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
