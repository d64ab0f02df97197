-- CreateTable
CREATE TABLE "AccountQuota" (
    "accountId" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "day" TEXT NOT NULL,
    "used" INTEGER NOT NULL,
    "learnedLimit" INTEGER,

    PRIMARY KEY ("accountId", "kind"),
    CONSTRAINT "AccountQuota_accountId_fkey" FOREIGN KEY ("accountId") REFERENCES "Account" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- By ALTER, not by new tables: dropping "Account" would take the rows that point to it along.
ALTER TABLE "Account" ADD COLUMN "weight" INTEGER NOT NULL DEFAULT 1;
ALTER TABLE "Account" ADD COLUMN "maxConcurrent" INTEGER;
ALTER TABLE "Account" ADD COLUMN "proxyUrl" TEXT;
ALTER TABLE "Account" ADD COLUMN "textLimit" INTEGER;
ALTER TABLE "Account" ADD COLUMN "imagesLimit" INTEGER;
ALTER TABLE "Account" ADD COLUMN "videosLimit" INTEGER;
ALTER TABLE "Account" ADD COLUMN "rests" TEXT NOT NULL DEFAULT '{}';
UPDATE "Account" SET "rests" = json_object('text', json_object(
    'untilMs', CAST(round((julianday("restUntil") - 2440587.5) * 86400000) AS INTEGER),
    'fault', "fault",
    'failures', "failures"))
  WHERE "restUntil" IS NOT NULL OR "failures" > 0;
ALTER TABLE "Account" DROP COLUMN "restUntil";
ALTER TABLE "Account" DROP COLUMN "failures";

ALTER TABLE "Model" ADD COLUMN "tools" TEXT NOT NULL DEFAULT '["web_search"]';
