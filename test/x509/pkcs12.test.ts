import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createCa, signLeaf, type Ca } from '../../src/x509/certificate.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { keystore, truststore } from '../../src/x509/pkcs12.ts';
import { loadSigner } from '../../src/x509/signer.ts';
import { inDirectory, openssl } from './openssl.ts';

const now = new Date();
const duration = 3_600_000;
const password = 'correct horse "battery" \\staple';

let ca: Ca;
let leafPem: string;
let privateKeyPem: string;

before(async () => {
  ca = await createCa({ dn: parseDn('CN=ca,O=test'), algorithm: 'ECDSA', size: 256, duration, now });
  const keyPair = await generateKeyPair({ algorithm: 'RSA', size: 2048 });
  privateKeyPem = keyPair.privateKeyPem;
  const subject = { dn: parseDn('CN=payments-batch') };
  leafPem = await signLeaf(
    { subject, publicKeyDer: keyPair.publicKeyDer, duration, now },
    loadSigner(ca.certificatePem, ca.privateKeyPem),
  );
});

function hasKeytool(): boolean {
  try {
    execFileSync('keytool', ['-help'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('keystore', () => {
  test('openssl reads key and chain with the password, modern algorithms throughout', async () => {
    const p12 = await keystore({
      privateKeyPem,
      chainPem: leafPem + ca.certificatePem,
      password,
      friendlyName: 'payments-ü',
    });
    const read = await openssl(['pkcs12', '-in', 'k.p12', '-passin', `pass:${password}`, '-info', '-noenc'], {
      'k.p12': p12,
    });
    assert.match(read, /MAC: sha256, Iteration 10000/);
    assert.equal(read.match(/PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256/g)?.length, 2);
    assert.equal(read.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.ok(read.includes(privateKeyPem.trim()));
    assert.ok(read.includes(leafPem.trim()) && read.includes(ca.certificatePem.trim()));
    const keyIds = read.match(/localKeyID: .*/g);
    assert.equal(keyIds?.length, 2);
    assert.equal(new Set(keyIds).size, 1);
  });

  test('a wrong password is refused by the MAC', async () => {
    const p12 = await keystore({ privateKeyPem, chainPem: leafPem, password, friendlyName: 'a' });
    await assert.rejects(
      openssl(['pkcs12', '-in', 'k.p12', '-passin', 'pass:another one', '-noenc'], { 'k.p12': p12 }),
      /invalid password/,
    );
  });

  test('Java takes no password that is short or not ASCII, nor do we', async () => {
    for (const refused of ['', '12345', 'pässword', 'a\nbcdef', 'a'.repeat(129)]) {
      await assert.rejects(keystore({ privateKeyPem, chainPem: leafPem, password: refused, friendlyName: 'a' }), {
        code: 'InvalidKeystorePassword',
      });
      await assert.rejects(truststore({ caPem: ca.certificatePem, password: refused }), {
        code: 'InvalidKeystorePassword',
      });
    }
  });
});

describe('truststore', () => {
  test('openssl reads the CAs, marked for Java, and no key', async () => {
    const p12 = await truststore({ caPem: ca.certificatePem, password });
    const read = await openssl(['pkcs12', '-in', 't.p12', '-passin', `pass:${password}`, '-info', '-noenc'], {
      't.p12': p12,
    });
    assert.ok(read.includes(ca.certificatePem.trim()));
    assert.match(read, /2\.16\.840\.1\.113894\.746875\.1\.1: |Trusted key usage \(Oracle\): /i);
    assert.doesNotMatch(read, /PRIVATE KEY/);
  });
});

test('keytool finds a private key entry with its chain, and trusted certificates', async (t) => {
  if (!hasKeytool()) {
    t.diagnostic('keytool is not on PATH, so Java was not asked; openssl read both files above');
    return;
  }
  const files = {
    'k.p12': await keystore({
      privateKeyPem,
      chainPem: leafPem + ca.certificatePem,
      password,
      friendlyName: 'payments',
    }),
    't.p12': await truststore({ caPem: leafPem + ca.certificatePem, password }),
  };
  const list = ['-J-Duser.language=en', '-list', '-v', '-storepass', password, '-keystore'];
  const entries = await inDirectory(files, 'keytool', [...list, 'k.p12']);
  assert.match(entries, /Alias name: payments/);
  assert.match(entries, /Entry type: PrivateKeyEntry/);
  assert.match(entries, /Certificate chain length: 2/);
  const trusted = await inDirectory(files, 'keytool', [...list, 't.p12']);
  assert.match(trusted, /Your keystore contains 2 entries/);
  assert.equal(trusted.match(/Entry type: trustedCertEntry/g)?.length, 2);
  assert.ok(trusted.includes(new X509Certificate(ca.certificatePem).fingerprint256));
});
