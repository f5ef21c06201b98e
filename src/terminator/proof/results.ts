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

  /** @param onChange what is known of some host is something else now */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
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
