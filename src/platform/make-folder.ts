import { mkdirSync } from 'node:fs';
import { AppError } from '@/platform/errors';

/**
 * Makes the data folder, or one in it, where it is missing; for its owner only.
 * @throws AppError `conflict` if it can't be made, such as where a file has that name
 */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(/*turbopackIgnore: true*/ folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const why = isFileInTheWay(error)
      ? 'a file is in the way. Move it away'
      : `${(error as Error).message}. Let this user write there`;
    throw new AppError(
      'conflict',
      `The folder ${folder} can't be made: ${why}, or choose another folder with DATA_DIR.`,
      { cause: error },
    );
  }
}

function isFileInTheWay(error: unknown): boolean {
  return ['EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
