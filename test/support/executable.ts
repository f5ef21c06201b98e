import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** From PATH, or where Debian puts it: /usr/sbin is on no ordinary user's PATH. */
export async function lookUp(name: string): Promise<string | undefined> {
  const directories = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/opt/homebrew/bin',
  ];
  for (const directory of directories) {
    if (directory !== '' && (await isExecutable(join(directory, name)))) return join(directory, name);
  }
  return undefined;
}
