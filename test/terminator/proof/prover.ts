/** The live proof of one host at one terminator; time passes by hand between its rounds. */
import { clientCertificateIssuer, type ClientCertificateIssuer } from '../../../src/api/client-certificate-issuer.ts';
import { createLogger } from '../../../src/telemetry.ts';
import type { ClientCertificates } from '../../../src/terminator/driver.ts';
import type { Sign } from '../../../src/terminator/proof/certificates.ts';
import type { TerminatorAddress } from '../../../src/terminator/proof/addresses.ts';
import { type ProofSubject, TerminatorProofs } from '../../../src/terminator/proof/proofs.ts';
import { ProofResults } from '../../../src/terminator/proof/results.ts';
import { type HostProof, problemsOf, stateOf } from '../../../src/terminator/proof/verdict.ts';
import { createCa, signLeaf, type Ca } from '../../../src/x509/certificate.ts';
import { publicKeyDerOf } from '../../../src/x509/key.ts';
import { loadSigner } from '../../../src/x509/signer.ts';
import { parseDn } from '../../../src/x509/dn.ts';
import { FakeClock } from '../../support/fake-clock.ts';

export const CONTROLLER = 'k8s.io/ingress-nginx';
const DAY_MS = 86_400_000;

/** One that terminators believe: they look at the clock on the wall. */
export function liveCa(name: string): Promise<Ca> {
  const dn = parseDn(name);
  return createCa({ dn, algorithm: 'ECDSA', size: 256, duration: 10 * DAY_MS, now: new Date() });
}

export function issuerOf(ca: Ca, name = 'corporate-clients'): ClientCertificateIssuer {
  return clientCertificateIssuer.parse({
    metadata: { name, uid: name, resourceVersion: '1' },
    spec: { ca: { managed: {} } },
    status: { caCertificate: ca.certificatePem },
  });
}

export interface Proving {
  host: string;
  mode?: ClientCertificates;
  ca?: Ca | undefined;
  laxHost?: string;
  addresses: readonly TerminatorAddress[];
  /** Of frontends, by name. */
  own?: Readonly<Record<string, readonly TerminatorAddress[]>>;
}

export class Prover {
  readonly clock = new FakeClock(Date.now());
  readonly results = new ProofResults(() => undefined);
  readonly changes: string[] = [];
  readonly #key: string;
  readonly #host: string;
  readonly #proofs: TerminatorProofs;
  subject: ProofSubject | undefined;

  constructor({ host, mode = 'required', ca, laxHost, addresses, own = {} }: Proving) {
    this.#host = host;
    this.#key = `${CONTROLLER}|${host}`;
    this.subject = {
      controller: CONTROLLER,
      frontends: ['Ingress default/mtls'],
      hosts: [host],
      mode,
      server: 'corporate',
      issuers: ca === undefined ? [] : [issuerOf(ca)],
      bundlePem: ca?.certificatePem,
      laxHost,
      basis: 'first',
      settledAt: this.clock.now(),
      // Short: terminators look at the clock on the wall, and what is shown to them is dated by the other one.
      intervalMs: 30_000,
    };
    const sign: Sign = async (_issuer, request) => {
      if (ca === undefined) throw new Error('nobody signs');
      const publicKeyDer = publicKeyDerOf(request.privateKeyPem);
      const leaf = { subject: request.subject, publicKeyDer, duration: request.durationMs, now: new Date(request.now) };
      const chainPem = await signLeaf(leaf, loadSigner(ca.certificatePem, ca.privateKeyPem));
      return { chainPem };
    };
    this.#proofs = new TerminatorProofs({
      addresses: new Map([[CONTROLLER, addresses], ...Object.entries(own)]),
      subjectOf: () => this.subject,
      sign,
      results: this.results,
      clock: this.clock,
      logger: createLogger({ level: 'silent' }),
      onChange: () => this.changes.push(this.state()),
    });
  }

  proof(): HostProof {
    return this.results.of(CONTROLLER, this.#host);
  }

  state(): string {
    return stateOf(this.proof());
  }

  /** A round, if one is due. @returns seconds to the next */
  async look(): Promise<number | undefined> {
    const { requeueAfterMs } = await this.#proofs.reconcile(this.#key, AbortSignal.timeout(60_000));
    return requeueAfterMs === undefined ? undefined : requeueAfterMs / 1000;
  }

  /** So many rounds, each when it is due. @returns what is said then: `proved`, `unproved`, or reasons */
  async rounds(count: number): Promise<string> {
    for (let i = 0; i < count; i++) {
      this.clock.advance(((await this.look()) ?? 0) * 1000);
    }
    const reasons = problemsOf(this.#host, this.proof()).map(({ reason }) => reason);
    return reasons.length > 0 ? reasons.join(', ') : this.state();
  }

  message(): string {
    return problemsOf(this.#host, this.proof())
      .map(({ message }) => message)
      .join(' ');
  }

  /** Who got in, or did not. */
  cases(): string[] {
    return [...new Set(this.proof().doubts.map((doubt) => doubt.case))].toSorted();
  }
}
