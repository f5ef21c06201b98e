import { type HostProof, stateOf, UNPROVED } from './verdict.ts';

export interface HostResult {
  controller: string;
  host: string;
  proof: HostProof;
}

/**
 * What live connections have shown of each host. In memory on purpose: a restart finds it out anew within seconds, and
 * nothing is to be written at rest.
 */
export class ProofResults {
  readonly #byHost = new Map<string, HostResult>();
  readonly #onChange: () => void;

  #asked: ReadonlySet<string> = new Set();

  /** @param onChange what is known of some host is something else now */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Whose hosts are asked: controllers, and frontends by their names. */
  expect(asked: ReadonlySet<string>): void {
    this.#asked = asked;
  }

  /** A first answer is on its way: what came out before a restart, or before a change, is not known here. */
  awaited(controller: string, host: string, frontend: string): boolean {
    const proof = this.of(controller, host);
    return (
      (this.#asked.has(controller) || this.#asked.has(frontend)) && stateOf(proof) === 'unproved' && proof.silent === 0
    );
  }

  of(controller: string, host: string): HostProof {
    return this.#byHost.get(`${controller}|${host}`)?.proof ?? UNPROVED;
  }

  /** Of every host that is asked. */
  list(): Iterable<HostResult> {
    return this.#byHost.values();
  }

  /** @returns whether it was proved or disproved by that, or is neither any longer */
  set(controller: string, host: string, proof: HostProof): boolean {
    const before = stateOf(this.of(controller, host));
    this.#byHost.set(`${controller}|${host}`, { controller, host, proof });
    this.#onChange();
    return stateOf(proof) !== before;
  }

  forget(controller: string, host: string): boolean {
    const known = this.#byHost.delete(`${controller}|${host}`);
    if (known) this.#onChange();
    return known;
  }
}
