import { randomBytes } from 'node:crypto';
import { keystore, truststore } from '../../x509/pkcs12.ts';
import { certificateIn } from '../record.ts';
import { digests } from '../published-secret.ts';
import { recordOf, required, type ClientAction } from './context.ts';

/** Salted, so different each time: stored, for a Secret that is lost is written again byte for byte. */
export function makeKeystores(trust: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const { state, material } = loaded;
    const { x5tS256 } = required(certificateIn(state, 'Published'), 'a published certificate');
    const published = required(material.certificates[x5tS256], 'the published key');
    const { serverCaPem } = required(view.desired.context ?? state.context, 'what to publish');
    const password = randomBytes(24).toString('base64url');
    const { privateKeyPem, chainPem } = published;
    const friendlyName = view.observed.client.metadata.name;
    const values: Record<string, Uint8Array> = {
      'keystore.p12': await keystore({ privateKeyPem, chainPem, password, friendlyName }),
      'keystore.password': Buffer.from(password),
      ...(serverCaPem === undefined ? {} : { 'truststore.p12': await truststore({ caPem: serverCaPem, password }) }),
    };
    const encoded = Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    const made = { trust, digests: digests(values) };
    const certificates = state.certificates.map((c) => (c.x5tS256 === x5tS256 ? { ...c, keystores: made } : c));
    const keys = { ...material.certificates, [x5tS256]: { ...published, keystores: Object.fromEntries(encoded) } };
    await context.records.save(
      loaded,
      { state: { ...state, certificates }, material: { ...material, certificates: keys } },
      signal,
    );
  };
}
