#!/usr/bin/env node
/**
 * A schema engine for the Prisma CLI that needs no download.
 *
 * `prisma generate` and `prisma migrate` start a native "schema engine" that npm does not bring: the
 * CLI fetches it, which fails offline and on platforms without a build. The same engine exists as
 * WebAssembly on npm (@prisma/schema-engine-wasm). This script speaks the native engine's protocol
 * (JSON-RPC, one message a line, on stdin and stdout) and hands each call to the WebAssembly one,
 * which reaches the database through the driver adapter. prisma.config.ts names it in
 * PRISMA_SCHEMA_ENGINE_BINARY. SQLite only.
 *
 * Four gaps between engine and adapter are bridged here; search for "Gap".
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const sqlitePrefix = 'file:';
const busyTimeoutMs = 5000;

const migrationsTable = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" TEXT PRIMARY KEY NOT NULL,
  "checksum" TEXT NOT NULL,
  "finished_at" DATETIME,
  "migration_name" TEXT NOT NULL,
  "logs" TEXT,
  "rolled_back_at" DATETIME,
  "started_at" DATETIME NOT NULL DEFAULT current_timestamp,
  "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0
)`;

const invocation = readArguments(process.argv.slice(2));
const databaseFile = databaseFileOf(invocation.datasource?.url ?? process.env.DATABASE_URL);

// The CLI ends the engine by a signal; without a handler the `exit` handlers would not run.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => process.exit(0));

if (invocation.databaseCommand) answerDatabaseCommand(invocation.databaseCommand);
else await serve();
process.exit(0);

/** The native engine's command line: options with one value each, then perhaps `cli <command>`. */
function readArguments(args) {
  const result = { schemaFiles: [], datasource: null, databaseCommand: null };
  for (let index = 0; index < args.length; index += 2) {
    const [name, value] = args.slice(index, index + 2);
    if (name === '--datamodels') result.schemaFiles.push(value);
    else if (name === '--datasource') result.datasource = JSON.parse(value);
    else if (name === 'cli') result.databaseCommand = value;
  }
  return result;
}

function databaseFileOf(url) {
  // `generate` and `validate` need no database, and so no address of one.
  if (!url) return null;
  if (!url.startsWith(sqlitePrefix)) {
    fail(`The database URL must begin with "${sqlitePrefix}"; this engine knows SQLite only.`);
  }
  return url.slice(sqlitePrefix.length).replace(/\?.*$/, '');
}

/** `can-connect-to-database` and `create-database`, whose only answer is the exit code. */
function answerDatabaseCommand(command) {
  if (databaseFile === null || fs.existsSync(databaseFile)) return;
  if (command === 'can-connect-to-database') {
    fail(`Database file ${databaseFile} does not exist`, 'P1003');
  }
  fs.mkdirSync(path.dirname(databaseFile), { recursive: true, mode: 0o700 });
  fs.writeFileSync(databaseFile, '');
}

/** Ends the process with a message in the form that the CLI picks out of the engine's stderr. */
function fail(message, code = 'P1000') {
  const line = JSON.stringify({
    level: 'ERROR',
    target: 'schema_engine::logger',
    fields: { error_code: code, message },
  });
  fs.writeSync(2, `schema engine: ${message}\n${line}\n`);
  process.exit(1);
}

async function serve() {
  let engine = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const message = line.trim() ? JSON.parse(line) : {};
    if (!message.method) continue;
    try {
      engine ??= await createEngine();
      send({ id: message.id, result: (await call(engine, message)) ?? {} });
    } catch (error) {
      send({ id: message.id, error: rpcError(error) });
    }
  }
}

async function call(engine, { id, method, params }) {
  // Gap 4: having applied a pending migration, the engine forgets its shadow database, and
  // evaluateDataLoss fails. devDiagnostic makes it anew.
  if (method === 'evaluateDataLoss') {
    const { migrationsList, filters } = params;
    await engine.devDiagnostic({ migrationsList, filters });
  }
  const result = await engine[method === 'getDatabaseVersion' ? 'version' : method](params ?? {});
  // The native engine prints a diff by a call to the CLI; the WebAssembly one returns it.
  if (method === 'diff' && result?.stdout) {
    send({ id: `print-${id}`, method: 'print', params: { content: result.stdout } });
  }
  return result;
}

function send(message) {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
}

function rpcError(error) {
  const message = String(error?.message ?? error);
  const data = { is_panic: false, message, meta: error?.meta, error_code: error?.code };
  return { code: 4466, message, data };
}

async function createEngine() {
  const { bindMigrationAwareSqlAdapterFactory } = await installed(
    import('@prisma/driver-adapter-utils'),
  );
  const { PrismaLibSql } = await installed(import('@prisma/adapter-libsql'));
  const { SchemaEngine } = await loadWasm();
  const schemas = invocation.schemaFiles.map((file) => [file, fs.readFileSync(file, 'utf8')]);
  return SchemaEngine.new(
    { datamodels: schemas.length > 0 ? schemas : undefined },
    () => {},
    bindMigrationAwareSqlAdapterFactory(createAdapterFactory(PrismaLibSql)),
  );
}

/** The CLI shows this message and nothing of stderr, so it must say what to do. */
async function installed(importing) {
  try {
    return await importing;
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error(`${error.message}. Run "npm ci --include=dev" and try again.`);
  }
}

async function loadWasm() {
  const glue = await installed(import('@prisma/schema-engine-wasm/schema_engine_bg'));
  const require = createRequire(import.meta.url);
  const glueFile = require.resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const bytes = fs.readFileSync(path.join(path.dirname(glueFile), 'schema_engine_bg.wasm'));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    './schema_engine_bg.js': glue,
  });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start?.();
  return glue;
}

function createAdapterFactory(PrismaLibSql) {
  const open = (file) =>
    new PrismaLibSql({ url: `${sqlitePrefix}${file}`, timeout: busyTimeoutMs });
  // Without a database only calls that need none will come; they never connect.
  const factory = open(databaseFile ?? ':memory:');
  factory.connect = bridged(factory);
  // Gap 3: the adapter's shadow database, `:memory:`, loses its tables: take a fresh file each time.
  const nextShadowFile = shadowFiles();
  factory.connectToShadowDb = () => bridged(open(nextShadowFile()))();
  return factory;
}

/** The factory's `connect`, with the gaps of its connections bridged. */
function bridged(factory) {
  const connect = factory.connect.bind(factory);
  return async () => {
    const connection = await connect();
    // Gap 1: the engine reads its table before it has made it (P1014).
    await connection.executeScript(migrationsTable);
    // Gap 2: the engine sends whole migrations as one statement, of which libsql silently runs the
    // first only.
    const executeRaw = connection.executeRaw.bind(connection);
    connection.executeRaw = async (query) => {
      if (query.args?.length) return executeRaw(query);
      await connection.executeScript(query.sql);
      return 0;
    };
    return connection;
  };
}

/** Names of database files that do not exist yet, in a folder that goes with the process. */
function shadowFiles() {
  let folder = null;
  let count = 0;
  process.on('exit', () => folder && fs.rmSync(folder, { recursive: true, force: true }));
  return () => {
    folder ??= fs.mkdtempSync(path.join(os.tmpdir(), 'prisma-shadow-'));
    count += 1;
    return path.join(folder, `${count}.db`);
  };
}
