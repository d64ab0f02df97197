import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { newFolder, projectRoot } from '../e2e/support/data-folder';

/** Files of a small project, by path, with what they import. */
type Tree = Record<string, string>;

interface Violation {
  rule: string;
  from: string;
}

/**
 * Runs the project's own lint command for imports on another tree, with the project's own rules.
 * With some versions of TypeScript the tool skips every `.ts` file and finds nothing wrong, ever.
 */
function violationsIn(tree: Tree): Violation[] {
  const folder = newFolder('layer-rules');
  for (const file of ['.dependency-cruiser.mjs', 'tsconfig.json', 'package.json']) {
    fs.copyFileSync(path.join(projectRoot, file), path.join(folder, file));
  }
  for (const [file, content] of Object.entries(tree)) {
    fs.mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), content);
  }
  const cruiser = path.join(projectRoot, 'node_modules/.bin/depcruise');
  const args = ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'src', 'e2e'];
  const { stdout } = spawnSync(cruiser, args, { cwd: folder, encoding: 'utf8' });
  const report = JSON.parse(stdout) as {
    summary: { violations: { rule: { name: string }; from: string }[] };
  };
  return report.summary.violations.map(({ rule, from }) => ({ rule: rule.name, from }));
}

/** The least that a lawful tree has: one file a floor, each importing the one below. */
const lawful: Tree = {
  'src/platform/errors.ts': 'export const errors = 1;',
  'src/platform/db.ts': "import { errors } from '@/platform/errors'; export const db = errors;",
  'src/openai/chat.ts': "import { errors } from '@/platform/errors'; export const chat = errors;",
  'src/gemini/client.ts':
    "import { errors } from '@/platform/errors'; export const client = errors;",
  'src/features/keys/keys.ts': "import { db } from '@/platform/db'; export const keys = db;",
  'src/features/chat/completion.ts':
    "import { keys } from '@/features/keys/keys'; export const completion = keys;",
  'src/api/openai/endpoint.ts':
    "import { completion } from '@/features/chat/completion'; export const endpoint = completion;",
  'e2e/stand-in/main.ts': 'export {};',
};

/** Rule, file that breaks it, and the import by which it does. */
const planted = [
  ['floor-1-imports-downward', 'src/platform/log.ts', '@/features/keys/keys'],
  ['floor-2-imports-downward', 'src/gemini/stream.ts', '@/features/keys/keys'],
  ['floor-3-imports-downward', 'src/features/keys/hash.ts', '@/api/openai/endpoint'],
  ['feature-keys-imports-lower-ranks', 'src/features/keys/usage.ts', '@/features/chat/completion'],
  ['languages-are-strangers', 'src/gemini/errors.ts', '@/openai/chat'],
  ['doors-are-thin', 'src/api/openai/models.ts', '@/platform/db'],
  ['gemini-has-no-database', 'src/gemini/access-token.ts', '@/platform/db'],
  ['console-is-browser-code', 'src/console/page.tsx', '@/features/keys/keys'],
  ['pure-files-stay-pure', 'src/features/chat/to-openai.ts', '@/platform/db'],
  ['pure-files-use-no-core-modules', 'src/features/chat/tokens.ts', 'fs'],
  ['product-knows-no-test-equipment', 'src/server.ts', '../e2e/stand-in/main'],
  ['stand-in-is-a-second-implementation', 'e2e/stand-in/jwt.ts', '@/platform/errors'],
] as const;

const circleOfTypes: Tree = {
  'src/platform/crypto.ts': "import type { B } from './crypto-type'; export type A = B | 1;",
  'src/platform/crypto-type.ts': "import type { A } from './crypto'; export type B = A | 2;",
};

describe('the layer rules', () => {
  it('accept imports that run downward', () => {
    expect(violationsIn(lawful)).toEqual([]);
  });

  describe('find a planted violation of', () => {
    let found: Violation[] = [];

    beforeAll(() => {
      const files = planted.map(([, file, imported]) => [
        file,
        `import * as other from '${imported}';\nexport { other };`,
      ]);
      found = violationsIn({ ...lawful, ...Object.fromEntries(files), ...circleOfTypes });
    });

    it.each(planted)('%s', (rule, from) => {
      expect(found).toContainEqual({ rule, from });
    });

    it('no-circles, by types alone', () => {
      expect(found.map(({ rule }) => rule)).toContain('no-circles');
    });
  });
});
