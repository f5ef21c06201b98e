import { chmod, chown, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A projected volume as a kubelet keeps it (its AtomicWriter): files are links into a folder that is exchanged whole, and
 * readable by the Pod's fsGroup.
 */
export class ProjectedVolume {
  readonly path: string;
  readonly #gid: number;
  #generation = 0;

  constructor(path: string, gid: number) {
    this.path = path;
    this.#gid = gid;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    const previous = `..${this.#generation}`;
    const next = `..${++this.#generation}`;
    await mkdir(join(this.path, next), { recursive: true });
    for (const [name, content] of Object.entries(files)) {
      const file = join(this.path, next, name);
      await writeFile(file, content);
      await chown(file, 0, this.#gid);
      await chmod(file, 0o440);
    }
    await symlink(next, join(this.path, '..data_tmp'));
    await rename(join(this.path, '..data_tmp'), join(this.path, '..data'));
    if (this.#generation === 1) {
      for (const name of Object.keys(files)) await symlink(`..data/${name}`, join(this.path, name));
    }
    await rm(join(this.path, previous), { recursive: true, force: true });
  }
}
