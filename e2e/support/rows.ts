import { eventually, type Pool, query } from './pool';

type Row = Record<string, unknown>;

interface AccountRow extends Row {
  /** By kind. */
  rests: Record<string, { untilMs: number | null } | undefined>;
}

/** The row of the n-th demo account, its rests as an object. */
export async function accountRow({ server }: Pool, number: number): Promise<AccountRow> {
  const sql = 'SELECT * FROM "Account" WHERE "label" = ?';
  const [row] = await query(server.dataDir, { sql, args: [`account-${number}`] });
  if (!row) throw new Error(`no account ${number}`);
  return { ...row, rests: JSON.parse(String(row.rests)) };
}

/** The row of a call, with the label of its account; it is there about a second after the call. */
export async function requestRow({ server }: Pool, requestId: string): Promise<Row> {
  const sql = `SELECT r.*, a."label" FROM "RequestLog" r LEFT JOIN "Account" a ON a."id" = r."accountId"
    WHERE r."requestId" = ?`;
  let row: Row | undefined;
  await eventually(async () => {
    [row] = await query(server.dataDir, { sql, args: [requestId] });
    return row !== undefined;
  });
  return row ?? {};
}
