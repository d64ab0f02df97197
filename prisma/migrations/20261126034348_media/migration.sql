-- CreateTable
CREATE TABLE "File" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "apiKeyId" TEXT NOT NULL,
    "filename" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "mimeType" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "createdAt" DATETIME NOT NULL,
    "expiresAt" DATETIME
);

-- CreateTable
CREATE TABLE "Media" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "mimeType" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "modelId" TEXT NOT NULL,
    "accountId" TEXT NOT NULL,
    "apiKeyId" TEXT NOT NULL,
    "externalUrl" TEXT,
    "inBucket" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" DATETIME NOT NULL,
    "lastUsedAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "VideoJob" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "apiKeyId" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "prompt" TEXT NOT NULL,
    "seconds" TEXT NOT NULL,
    "size" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "errorCode" TEXT,
    "errorMessage" TEXT,
    "mediaName" TEXT,
    "createdAt" DATETIME NOT NULL,
    "completedAt" DATETIME,
    "expiresAt" DATETIME
);

-- CreateIndex
CREATE INDEX "File_apiKeyId_id_idx" ON "File"("apiKeyId", "id");

-- CreateIndex
CREATE INDEX "File_expiresAt_idx" ON "File"("expiresAt");

-- CreateIndex
CREATE UNIQUE INDEX "Media_name_key" ON "Media"("name");

-- CreateIndex
CREATE INDEX "Media_kind_id_idx" ON "Media"("kind", "id");

-- CreateIndex
CREATE INDEX "Media_modelId_id_idx" ON "Media"("modelId", "id");

-- CreateIndex
CREATE INDEX "Media_accountId_id_idx" ON "Media"("accountId", "id");

-- CreateIndex
CREATE INDEX "Media_apiKeyId_id_idx" ON "Media"("apiKeyId", "id");

-- CreateIndex
CREATE INDEX "Media_lastUsedAt_idx" ON "Media"("lastUsedAt");

-- CreateIndex
CREATE INDEX "VideoJob_apiKeyId_id_idx" ON "VideoJob"("apiKeyId", "id");

-- CreateIndex
CREATE INDEX "VideoJob_status_idx" ON "VideoJob"("status");

-- CreateIndex
CREATE INDEX "VideoJob_expiresAt_idx" ON "VideoJob"("expiresAt");

-- The models that only draw or film, which a first start now brings, for pools that were started before.
INSERT OR IGNORE INTO "Model" ("id", "displayName", "description", "tools", "contextLength", "maxTokens", "position", "createdAt")
SELECT "column1", "column2", "column3", "column4", 1048576, 65536,
  (SELECT max("position") FROM "Model") + "column5", strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
FROM (VALUES
  ('gemini-image', 'Gemini Image', 'Makes images.', '["image"]', 1),
  ('gemini-video', 'Gemini Video', 'Makes videos.', '["video"]', 2))
WHERE EXISTS (SELECT 1 FROM "Model")
  AND "column1" NOT IN (SELECT "alias" FROM "ModelAlias");

-- The caches of a server that runs meanwhile.
UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'models';
