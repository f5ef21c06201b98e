import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { createLocalJWKSet, createRemoteJWKSet, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { verifyBoundToken, type BoundTokenRequest } from '../../src/verifier/bound-token.ts';

const issuer = 'https://as.example.test:8443';
const audience = 'urn:example:api';
const now = new Date('2026-06-01T12:00:00Z');
const seconds = Math.floor(now.getTime() / 1000);
/** RFC 8705 Appendix A. */
const certificateDer = new X509Certificate(
  await readFile(new URL('../vectors/rfc8705-appendix-a.pem', import.meta.url)),
).raw;
const thumbprint = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';

const keys = await generateKeyPair('ES256');
const otherKeys = await generateKeyPair('ES256');
const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'a', alg: 'ES256' };
const jwks = createLocalJWKSet({ keys: [jwk] });

interface Variation {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  key?: Parameters<SignJWT['sign']>[0];
}

function sign({ claims = {}, header = {}, key = keys.privateKey }: Variation = {}): Promise<string> {
  const all = {
    iss: issuer,
    aud: audience,
    sub: 'client',
    exp: seconds + 60,
    cnf: { 'x5t#S256': thumbprint },
    ...claims,
  };
  return new SignJWT(all).setProtectedHeader({ alg: 'ES256', kid: 'a', typ: 'at+jwt', ...header }).sign(key);
}

const verify = (token: string | undefined, changes: Partial<BoundTokenRequest> = {}) =>
  verifyBoundToken({ token, certificateDer, issuer, audience, jwks, now, ...changes });

async function assertInvalid(token: string, changes: Partial<BoundTokenRequest> = {}, name = ''): Promise<void> {
  const verdict = await verify(token, changes);
  assert.equal(verdict.outcome, 'refused', name);
  assert.equal(verdict.error, 'invalid_token', name);
  assert.match(verdict.wwwAuthenticate, /^Bearer error="invalid_token", error_description="[^"\\]+"$/, name);
}

test('M8: a token bound to the presented certificate is accepted', async () => {
  const verdict = await verify(await sign());
  assert.equal(verdict.outcome, 'accepted');
  assert.equal(verdict.claims.sub, 'client');
  assert.equal(verdict.thumbprint, thumbprint);
  const several = await verify(
    await sign({ claims: { aud: ['urn:other', audience] }, header: { typ: 'application/at+jwt' } }),
  );
  assert.equal(several.outcome, 'accepted');
});

test('M8: another certificate, or none, is 401 invalid_token', async () => {
  const other = Uint8Array.from(certificateDer);
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
  await assertInvalid(await sign(), { certificateDer: other });
  await assertInvalid(await sign(), { certificateDer: undefined });
});

test('M9: cnf must be exactly the 43 characters of x5t#S256 and nothing else', async () => {
  const confirmations: unknown[] = [
    undefined,
    null,
    'x5t#S256',
    thumbprint,
    [],
    [thumbprint],
    {},
    { 'x5t#S256': '' },
    { 'x5t#S256': `${thumbprint}=` },
    { 'x5t#S256': ` ${thumbprint}` },
    { 'x5t#S256': `${thumbprint}\n` },
    { 'x5t#S256': thumbprint.slice(0, -1) },
    { 'x5t#S256': thumbprint.toLowerCase() },
    { 'x5t#S256': [thumbprint] },
    { 'x5t#S256': Buffer.from(thumbprint, 'base64url').toString('hex') },
    { 'x5t#S256': Buffer.from(thumbprint, 'base64url').toString('base64') },
    { 'X5T#S256': thumbprint },
    { x5t: thumbprint },
    { jkt: thumbprint },
    { 'x5t#S256': thumbprint, jkt: thumbprint },
    { 'x5t#S256': thumbprint, kid: 'a' },
    { 'x5t#S256': thumbprint, 'x5t#S512': thumbprint },
  ];
  for (const cnf of confirmations) await assertInvalid(await sign({ claims: { cnf } }), {}, JSON.stringify(cnf));
});

test('a request without a token gets a challenge without an error code (RFC 6750 §3.1)', async () => {
  for (const token of [undefined, '']) {
    const verdict = await verify(token);
    assert.equal(verdict.outcome, 'refused');
    assert.equal(verdict.error, undefined);
    assert.equal(verdict.wwwAuthenticate, 'Bearer');
  }
});

test('issuer, audience, type, times and subject are required and exact', async () => {
  const variations: [string, Variation][] = [
    ['another issuer', { claims: { iss: 'https://evil.example.test' } }],
    ['issuer with a slash', { claims: { iss: `${issuer}/` } }],
    ['no issuer', { claims: { iss: undefined } }],
    ['another audience', { claims: { aud: 'urn:other' } }],
    ['audience as a prefix', { claims: { aud: `${audience}:more` } }],
    ['no audience', { claims: { aud: undefined } }],
    ['no audiences', { claims: { aud: [] } }],
    ['an ID token', { header: { typ: 'JWT' } }],
    ['no type', { header: { typ: undefined } }],
    ['expired', { claims: { exp: seconds - 6 } }],
    ['no expiry', { claims: { exp: undefined } }],
    ['expiry as a string', { claims: { exp: String(seconds + 60) } }],
    ['not yet valid', { claims: { nbf: seconds + 6 } }],
    ['no subject', { claims: { sub: undefined } }],
  ];
  for (const [name, variation] of variations) await assertInvalid(await sign(variation), {}, name);
});

test('the clock may differ by the tolerance and no more', async () => {
  assert.equal((await verify(await sign({ claims: { exp: seconds - 4 } }))).outcome, 'accepted');
  await assertInvalid(await sign({ claims: { exp: seconds - 4 } }), { clockTolerance: 0 });
});

test('only a signature by the server counts', async () => {
  await assertInvalid(await sign({ key: otherKeys.privateKey }), {}, 'another key');
  await assertInvalid(await sign({ header: { kid: 'b' } }), {}, 'an unknown key id');
  const publicKeyAsSecret = new TextEncoder().encode(JSON.stringify(jwk));
  await assertInvalid(await sign({ key: publicKeyAsSecret, header: { alg: 'HS256' } }), {}, 'HMAC');
  const claims = { iss: issuer, aud: audience, sub: 'client', exp: seconds + 60, cnf: { 'x5t#S256': thumbprint } };
  await assertInvalid(new UnsecuredJWT(claims).encode(), {}, 'alg none');
  const token = await sign();
  const [header, payload = '', signature] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'admin' })).toString('base64url');
  await assertInvalid(`${header}.${forged}.${signature}`, {}, 'another payload');
  await assertInvalid(`${header}.${payload}.`, {}, 'no signature');
  await assertInvalid(`${token}.${token}`, {}, 'too many parts');
  for (const garbage of ['x', '...', 'a.b.c', '\0', 'é'.repeat(10), '{}', `${token} `, `Bearer ${token}`]) {
    await assertInvalid(garbage, {}, JSON.stringify(garbage));
  }
});

test("keys that cannot be read are no verdict on the token, and the token's text is in no description", async () => {
  const token = await sign();
  const unreachable = createRemoteJWKSet(new URL('http://127.0.0.1:1/jwks'));
  const verdict = await verify(token, { jwks: unreachable });
  assert.equal(verdict.outcome, 'unavailable');
  const canary = await verify(await sign({ claims: { iss: 'https://canary.example.test' } }));
  assert.doesNotMatch(JSON.stringify(canary), /canary/);
});
