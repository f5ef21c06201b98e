/** The published Secrets as applications see them change. */
import { X509Certificate } from 'node:crypto';
import { Role, ROLE_LABEL } from '../../../src/api/annotations.ts';
import type { KubeClient } from '../../../src/kube/client.ts';
import { Informer } from '../../../src/kube/informer.ts';
import { secrets } from '../../../src/kube/resource.ts';
import { credentialsOf, type ClientCredentials } from '../../support/application.ts';
import type { ClientRef } from '../world.ts';

interface Publication {
  credentials: ClientCredentials;
  /** When its successor was seen, epoch milliseconds. */
  replacedAt: number | undefined;
}

const keyOf = ({ namespace, name }: ClientRef) => `${namespace}/${name}`;

export class PublishedSecrets {
  readonly synced: Promise<void>;
  /** Of each client every certificate that was seen, the newest last. */
  readonly #seen = new Map<string, Publication[]>();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #issuers = new Map<string, string>();

  constructor(kube: KubeClient, signal: AbortSignal) {
    const informer = new Informer({
      client: kube,
      resource: secrets,
      labelSelector: `${ROLE_LABEL}=${Role.published}`,
      project: credentialsOf,
    });
    informer.onChange(({ namespace = '', name, current }) => {
      const key = keyOf({ namespace, name: name.replace(/-oauth$/, '') });
      const seen = this.#seen.get(key) ?? [];
      const last = seen.at(-1);
      if (current === undefined || last?.credentials.x5tS256 === current.x5tS256) return;
      if (last !== undefined) last.replacedAt = Date.now();
      seen.push({ credentials: current, replacedAt: undefined });
      this.#seen.set(key, seen);
      this.#issuers.set(current.x5tS256, new X509Certificate(current.certificate.certPem).issuer);
      for (const listener of this.#listeners.get(key) ?? []) listener();
    });
    informer.start(signal);
    this.synced = informer.synced;
  }

  /** What is published now. @throws where nothing was yet */
  current(ref: ClientRef): ClientCredentials {
    const last = this.#seen.get(keyOf(ref))?.at(-1);
    if (last === undefined) throw new Error(`nothing is published for ${keyOf(ref)}`);
    return last.credentials;
  }

  /** When its successor was seen, epoch milliseconds; undefined while it is the one that is published. */
  replacedAt(ref: ClientRef, x5tS256: string): number | undefined {
    return this.#seen.get(keyOf(ref))?.find(({ credentials }) => credentials.x5tS256 === x5tS256)?.replacedAt;
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
      if (this.replacedAt(ref, x5tS256) !== undefined) resolve();
    };
    this.onChange(ref, look);
    look();
    await promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.get(keyOf(ref))?.delete(look);
    });
  }
}
