/** The published Secrets as applications see them change. */
import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { Role, ROLE_LABEL } from '../../../src/api/annotations.ts';
import type { KubeClient } from '../../../src/kube/client.ts';
import { Informer } from '../../../src/kube/informer.ts';
import { secrets } from '../../../src/kube/resource.ts';
import { credentialsOf, type ClientCredentials } from '../../support/application.ts';
import type { ClientRef } from '../world.ts';

interface Publication {
  credentials: ClientCredentials;
  /** Of the newest write, epoch milliseconds. Whoever hears of it late knows all the same when it was. */
  writtenAt: number;
}

const writes = z.object({ managedFields: z.array(z.object({ time: z.coerce.date() })) });
const keyOf = ({ namespace, name }: ClientRef) => `${namespace}/${name}`;

export class PublishedSecrets {
  readonly synced: Promise<void>;
  readonly #current = new Map<string, ClientCredentials>();
  /** By thumbprint, of each certificate that was seen. */
  readonly #replacedAt = new Map<string, number>();
  readonly #issuers = new Map<string, string>();
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(kube: KubeClient, signal: AbortSignal) {
    const informer = new Informer<Publication>({
      client: kube,
      resource: secrets,
      labelSelector: `${ROLE_LABEL}=${Role.published}`,
      project: (object) => ({
        credentials: credentialsOf(object),
        writtenAt: Math.max(...writes.parse(object.metadata).managedFields.map(({ time }) => time.getTime())),
      }),
    });
    informer.onChange(({ namespace = '', name, current }) => {
      const key = keyOf({ namespace, name: name.replace(/-oauth$/, '') });
      const last = this.#current.get(key);
      if (current === undefined || last?.x5tS256 === current.credentials.x5tS256) return;
      const { credentials, writtenAt } = current;
      if (last !== undefined) this.#replacedAt.set(last.x5tS256, writtenAt);
      this.#current.set(key, credentials);
      this.#issuers.set(credentials.x5tS256, new X509Certificate(credentials.certificate.certPem).issuer);
      for (const listener of this.#listeners.get(key) ?? []) listener();
    });
    informer.start(signal);
    this.synced = informer.synced;
  }

  /** What is published now. @throws where nothing was yet */
  current(ref: ClientRef): ClientCredentials {
    const current = this.#current.get(keyOf(ref));
    if (current === undefined) throw new Error(`nothing is published for ${keyOf(ref)}`);
    return current;
  }

  /** When its successor was published, epoch milliseconds, to the second below; Infinity while it is published itself. */
  replacedAt(x5tS256: string): number {
    return this.#replacedAt.get(x5tS256) ?? Infinity;
  }

  /** The issuer's name in a certificate that was published here, one RDN a line; undefined for any other. */
  issuerOf(x5tS256: string): string | undefined {
    return this.#issuers.get(x5tS256);
  }

  /** Called at each new certificate, at once. */
  onChange(ref: ClientRef, listener: () => void): void {
    const key = keyOf(ref);
    this.#listeners.set(key, (this.#listeners.get(key) ?? new Set()).add(listener));
  }

  /** Until another than this one is published. */
  async changed(ref: ClientRef, x5tS256: string, limitMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new Error(`the certificate of ${keyOf(ref)} was not replaced within ${limitMs / 1000} s`)),
      limitMs,
    );
    const look = () => {
      if (this.current(ref).x5tS256 !== x5tS256) resolve();
    };
    this.onChange(ref, look);
    look();
    await promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.get(keyOf(ref))?.delete(look);
    });
  }
}
