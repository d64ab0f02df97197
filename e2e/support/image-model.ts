import { eventually, type Pool, query } from './pool';

/** Adds the model `painter`, which may only draw, and waits until the server knows it. */
export async function addImageModel(pool: Pool): Promise<void> {
  await query(
    pool.server.dataDir,
    {
      sql: `INSERT INTO "Model" ("id", "displayName", "tools", "contextLength", "maxTokens", "position")
        VALUES ('painter', 'Painter', '["image"]', 1000, 1000, 99)`,
      args: [],
    },
    { sql: `UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'models'`, args: [] },
  );
  await eventually(async () => (await pool.call('/v1/models/painter')).status === 200);
}
