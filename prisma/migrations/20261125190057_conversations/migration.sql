-- CreateTable
CREATE TABLE "RequestAttempt" (
    "logId" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "accountId" TEXT NOT NULL,
    "startMs" INTEGER NOT NULL,
    "firstByteMs" INTEGER,
    "durationMs" INTEGER NOT NULL,
    "outcome" TEXT NOT NULL,
    "status" INTEGER,
    "reason" TEXT,

    PRIMARY KEY ("logId", "number")
);

-- CreateTable
CREATE TABLE "UsageDaily" (
    "day" TEXT NOT NULL,
    "apiKeyId" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "accountId" TEXT NOT NULL,
    "requests" INTEGER NOT NULL,
    "failures" INTEGER NOT NULL,
    "promptTokens" BIGINT NOT NULL,
    "completionTokens" BIGINT NOT NULL,
    "reasoningTokens" BIGINT NOT NULL,
    "cost" REAL NOT NULL,
    "durationMs" BIGINT NOT NULL,
    "firstByteMs" BIGINT NOT NULL,
    "firstBytes" INTEGER NOT NULL,

    PRIMARY KEY ("day", "apiKeyId", "model", "accountId")
);

-- CreateTable
CREATE TABLE "UpstreamSession" (
    "accountId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "createdAt" DATETIME NOT NULL,
    "lastUsedAt" DATETIME NOT NULL,
    "turns" INTEGER NOT NULL,

    PRIMARY KEY ("accountId", "name"),
    CONSTRAINT "UpstreamSession_accountId_fkey" FOREIGN KEY ("accountId") REFERENCES "Account" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "ModelRefusal" (
    "accountId" TEXT NOT NULL,
    "upstreamModelId" TEXT NOT NULL,
    "at" DATETIME NOT NULL,

    PRIMARY KEY ("accountId", "upstreamModelId"),
    CONSTRAINT "ModelRefusal_accountId_fkey" FOREIGN KEY ("accountId") REFERENCES "Account" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- By ALTER, not by a new table: existing rows stay where they are, and get their numbers in order.
ALTER TABLE "RequestLog" ADD COLUMN "queueMs" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "RequestLog" ADD COLUMN "cost" REAL NOT NULL DEFAULT 0;
ALTER TABLE "RequestLog" ADD COLUMN "change" BIGINT NOT NULL DEFAULT 0;
UPDATE "RequestLog" SET "change" = "numbered"."number"
  FROM (SELECT "id", row_number() OVER (ORDER BY "id") AS "number" FROM "RequestLog") AS "numbered"
  WHERE "RequestLog"."id" = "numbered"."id";

-- CreateIndex
CREATE UNIQUE INDEX "RequestLog_change_key" ON "RequestLog"("change");
