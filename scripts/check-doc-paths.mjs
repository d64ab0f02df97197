/** Fails when the docs name a file or folder of the project that is not there (any more). */
import fs from 'node:fs';
import { at } from './bootstrap/project.mjs';

/** A path in the project, as prose, code and links write it; also with `*` and `{a,b}` in it. */
const pathPattern =
  /(?<![\w./@-])(?:\.\.?\/)*((?:src|e2e|scripts|docs|prisma)\/[\w./@*{},()[\]-]*)/g;

const rootDocuments = ['README.md', 'README.zh.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
const documents = [...rootDocuments, ...markdownFilesIn('docs')].filter((file) =>
  fs.existsSync(at(file)),
);
const missing = documents.flatMap(missingPathsIn);

for (const { document, line, named } of missing) {
  console.error(`${document}:${line} names ${named}, which does not exist`);
}
process.exitCode = missing.length === 0 ? 0 : 1;

function markdownFilesIn(folder) {
  if (!fs.existsSync(at(folder))) return [];
  return fs
    .readdirSync(at(folder), { recursive: true })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `${folder}/${file}`);
}

function missingPathsIn(document) {
  const lines = fs.readFileSync(at(document), 'utf8').split('\n');
  return lines.flatMap((text, index) =>
    [...text.matchAll(pathPattern)]
      .map((match) => withoutPunctuation(match[1]))
      .filter((named) => !expand(named).every(exists))
      .map((named) => ({ document, line: index + 1, named })),
  );
}

/** A sentence's or a link's own marks at the end of a path are no part of it. */
function withoutPunctuation(text) {
  let named = text.replace(/[.,]+$/, '');
  for (const [open, close] of ['()', '[]', '{}']) {
    const cut = named.lastIndexOf(close);
    if (cut !== -1 && count(named, close) > count(named, open)) named = named.slice(0, cut);
  }
  return named.replace(/[.,]+$/, '');
}

function count(text, character) {
  return text.split(character).length - 1;
}

function expand(named) {
  const group = /\{([^{}]*)\}/.exec(named);
  if (!group) return [named];
  const [whole, choices] = group;
  return choices.split(',').flatMap((choice) => expand(named.replace(whole, choice.trim())));
}

/** A path with `*` stands for its folder: what lies before the first of them. */
function exists(named) {
  const star = named.indexOf('*');
  const place = star === -1 ? named : named.slice(0, named.lastIndexOf('/', star));
  return isGenerated(place) || fs.existsSync(at(place));
}

function isGenerated(place) {
  return place.startsWith('src/generated');
}
