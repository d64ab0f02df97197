/** Tells whether the inputs of a step changed since it last succeeded. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { at } from './project.mjs';

/**
 * A hash over names and contents of files and folders, given relative to the project's folder.
 * Missing ones count as missing. `skip` is asked about each path, with `/` between its parts.
 */
export function fingerprintOf(paths, skip = () => false) {
  const hash = createHash('sha256');
  for (const file of paths.flatMap((name) => filesUnder(name, skip))) {
    const content = fs.readFileSync(at(file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** The fingerprint noted when the step last succeeded, or an empty string. */
export function readNote(step) {
  try {
    return fs.readFileSync(noteFile(step), 'utf8');
  } catch {
    return '';
  }
}

/** Notes a success; whole or not at all, also when the process is killed meanwhile. */
export function writeNote(step, fingerprint) {
  const file = noteFile(step);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(`${file}.${process.pid}`, fingerprint);
  fs.renameSync(`${file}.${process.pid}`, file);
}

/** Forgets the last success, so that a step that is broken off counts as not done. */
export function dropNote(step) {
  fs.rmSync(noteFile(step), { force: true });
}

function noteFile(step) {
  return at('dist', `${step}.fingerprint`);
}

function filesUnder(name, skip) {
  if (skip(name)) return [];
  const entry = fs.statSync(at(name), { throwIfNoEntry: false });
  if (!entry) return [];
  if (!entry.isDirectory()) return [name];
  return fs
    .readdirSync(at(name))
    .sort()
    .flatMap((child) => filesUnder(`${name}/${child}`, skip));
}
