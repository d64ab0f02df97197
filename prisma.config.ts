import { existsSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'prisma/config';

// Absolute paths, so that `npx prisma` is right from every folder.
const at = (file: string) => path.join(import.meta.dirname, file);

// As `next start` and the commands do; what the environment has already wins.
if (existsSync(at('.env'))) process.loadEnvFile(at('.env'));

// The native schema engine is a download; this script drives the WebAssembly one that npm brings.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= at('scripts/schema-engine.mjs');

// The same rule as src/platform/env.ts: DATABASE_URL, else pool.db in DATA_DIR.
const url =
  process.env.DATABASE_URL?.trim() ||
  `file:${path.resolve(import.meta.dirname, process.env.DATA_DIR?.trim() || 'data')}/pool.db`;

export default defineConfig({
  schema: at('prisma/schema.prisma'),
  migrations: { path: at('prisma/migrations') },
  datasource: {
    url: url.startsWith('file:')
      ? `file:${path.resolve(import.meta.dirname, url.slice('file:'.length))}`
      : url,
  },
});
