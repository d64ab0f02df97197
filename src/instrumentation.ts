/**
 * Next's hook at server start: brings the jobs and the write-behind queue up under plain
 * `next start`. Under the custom server this is the same start-up, taken once per process.
 */
export async function register(): Promise<void> {
  // biome-ignore lint/style/noProcessEnv: Next replaces this at build time, so that the edge build leaves the import out.
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  const { startUp } = await import('@/start-up');
  const { reportFatal } = await import('@/platform/fatal');
  await startUp().catch(reportFatal);
}
