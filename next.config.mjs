/** @type {import('next').NextConfig} */
const config = {
  poweredByHeader: false,
  // The optimizer fetches and logs what anybody names; we have nothing for it.
  images: { unoptimized: true },
  reactStrictMode: true,
  // `/v1/…/` must reach the endpoint, which answers in OpenAI's form, and not a redirect of Next's.
  skipTrailingSlashRedirect: true,
  // One copy of each for the custom server and for Next's bundles: their classes must be identical.
  serverExternalPackages: [
    'libsql',
    '@libsql/client',
    '@prisma/adapter-libsql',
    '@prisma/client',
    'undici',
    'fetch-socks',
    'pino',
    'gpt-tokenizer',
    'node-cron',
    'prom-client',
    'srvx',
    'file-type',
    'sharp',
    '@aws-sdk/client-s3',
    '@aws-sdk/lib-storage',
  ],
};

export default config;
