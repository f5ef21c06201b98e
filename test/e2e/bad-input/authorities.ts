/** CAs that the platform brings and that cannot sign: nothing is written for their clients until one can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { secrets } from '../../../src/kube/resource.ts';
import { DAY_MS, intermediateCa, rootCa } from '../../issuer/authorities.ts';
import { opaqueSecret } from '../../support/cluster-objects.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { SYSTEM, type World } from './world.ts';

interface Made {
  certificatePem: string;
  privateKeyPem: string;
  type?: string;
}
interface Case {
  name: string;
  /** Undefined: there is no Secret. */
  broken: () => Promise<Made | undefined>;
  reason: string;
  /** What the platform team reads in the issuer's status. */
  says: RegExp;
}

const cases: Case[] = [
  {
    name: 'ca-expired',
    broken: () => rootCa('CN=ca-expired', { now: new Date(Date.now() - 30 * DAY_MS), duration: 29 * DAY_MS }),
    reason: 'CAExpired',
    says: /The CA expired at \d{4}-.*Renew its certificate with the same subject and key in the Secret, or create a second issuer/,
  },
  {
    name: 'ca-key-mismatch',
    async broken() {
      const [one, other] = [await rootCa('CN=ca-key-mismatch'), await rootCa('CN=ca-key-mismatch')];
      return { certificatePem: one.certificatePem, privateKeyPem: other.privateKeyPem };
    },
    reason: 'CAKeyMismatch',
    says: /Secret "ca-key-mismatch" of the operator's namespace: The private key is not that of the CA certificate: store the two of one pair/,
  },
  {
    name: 'ca-not-a-ca',
    async broken() {
      const { certPem, keyPem } = await (await createThrowawayCa('Root')).issue({ cn: 'no CA', clientAuth: true });
      return { certificatePem: certPem, privateKeyPem: keyPem };
    },
    reason: 'NotACA',
    says: /Secret "ca-not-a-ca" of the operator's namespace: /,
  },
  {
    name: 'ca-without-root',
    broken: intermediateCa,
    reason: 'CAChainIncomplete',
    says: /append the CA certificates up to the root to tls\.crt, or put them in ca\.crt/,
  },
  {
    name: 'ca-garbage',
    broken: () => Promise.resolve({ certificatePem: 'garbage', privateKeyPem: 'garbage' }),
    reason: 'InvalidPEM',
    says: /Secret "ca-garbage" of the operator's namespace: /,
  },
  {
    name: 'ca-opaque',
    broken: async () => ({ ...(await rootCa('CN=ca-opaque')), type: 'Opaque' }),
    reason: 'NotATLSSecret',
    says: /is of type Opaque: create one of type kubernetes\.io\/tls with tls\.crt and tls\.key/,
  },
  {
    name: 'ca-missing',
    broken: () => Promise.resolve(undefined),
    reason: 'SecretNotFound',
    says: /There is no Secret "ca-missing" in the operator's namespace\. Create it there, of type kubernetes\.io\/tls/,
  },
];

export const authorityIssuers = cases.map(({ name }) => name);

export function authorityTests(world: () => World): void {
  async function put(name: string, { certificatePem, privateKeyPem, type = 'kubernetes.io/tls' }: Made): Promise<void> {
    const ref = { namespace: SYSTEM, name };
    await world().kube.delete(secrets, ref);
    await world().kube.create(
      secrets,
      opaqueSecret(ref, { 'tls.crt': certificatePem, 'tls.key': privateKeyPem }, type),
    );
  }

  for (const { name, broken, reason, says } of cases) {
    test(`a CA that cannot sign: ${name}`, async () => {
      const made = await broken();
      if (made !== undefined) await put(name, made);
      await world().issuer(name, { ca: { secretRef: { name } } });
      await world().server(name, { clients: { issuers: [name] }, defaultIssuerRef: { name } });
      await world().client({ name });
      const { message } = await world().issuerBecomes(name, 'False', reason);
      assert.match(message, says);
      const { message: told } = await world().becomes({ name }, 'False', reason);
      assert.match(
        told,
        /can't sign.*the platform team sees in its status what to do.*goes on by itself once it can sign/,
      );
      assert.ok(!told.includes('Secret "'), 'a tenant is told of the Secrets of the operator');
      assert.equal((await world().condition({ name }, 'CertificateReady'))?.reason, reason);
      await world().nothingWritten({ name });
      await put(name, await rootCa(`CN=${name}`));
      await world().recovers({ name });
      assert.equal((await world().status({ name }))?.issuer, name);
    });
  }
}
