import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { OperatorError } from '../../src/errors.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { certificateFromPem, certificatesFromPem, privateKeyFromPem, toPem } from '../../src/x509/pem.ts';
import { clientKey, testCa } from './authority.ts';
import { openssl } from './openssl.ts';

let pem = '';
let other = '';
before(async () => {
  pem = (await testCa()).certificatePem;
  other = (await testCa('CN=other')).certificatePem;
});

function refusedWith(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof OperatorError);
    assert.equal(error.code, 'InvalidPEM');
    assert.match(error.message, message);
    assert.doesNotMatch(`${error.message}${error.detail ?? ''}`, /[A-Za-z0-9+/]{60}/);
    return true;
  };
}

const subjects = (text: string): string[] => certificatesFromPem(text).map(({ subject }) => subject);

describe('certificatesFromPem', () => {
  test('reads one or several, in order, with either line end and blank lines', () => {
    assert.deepEqual(subjects(pem), ['O=test\nCN=ca']);
    assert.deepEqual(subjects(`\n${other}\n\n${pem}\n`), ['CN=other', 'O=test\nCN=ca']);
    assert.deepEqual(subjects(pem.replaceAll('\n', '\r\n')), ['O=test\nCN=ca']);
    assert.deepEqual(subjects(pem.trimEnd()), ['O=test\nCN=ca']);
  });

  const damaged: readonly (readonly [string, () => string, RegExp])[] = [
    ['nothing', () => '', /empty/],
    ['white space', () => ' \n ', /empty/],
    ['text before', () => `subject: ca\n${pem}`, /something other than/],
    ['text between', () => `${pem}# ca\n${other}`, /something other than/],
    ['text after', () => `${pem}x`, /something other than/],
    ['a private key after', () => pem + clientKey.privateKeyPem, /PRIVATE KEY: only CERTIFICATE/],
    ['a header', () => pem.replace('\n', '\nProc-Type: 4\n\n'), /something other than/],
    ['no end', () => pem.split('\n').slice(0, -2).join('\n'), /something other than/],
    ['other end', () => pem.replace('END CERTIFICATE', 'END X509 CRL'), /begins as CERTIFICATE and ends as X509 CRL/],
    ['a lost character', () => pem.replace('MII', 'MI'), /damaged/],
    ['a lost group', () => pem.replace('MIIB', ''), /damaged|something else/],
    ['spaces in the base64', () => pem.replace('MII', 'M II'), /something other than/],
    ['trailing bits', () => '-----BEGIN CERTIFICATE-----\nMB==\n-----END CERTIFICATE-----\n', /damaged/],
    ['base64 of text', () => toPem('CERTIFICATE', Buffer.from('certificate')), /something else/],
    [
      'bytes after the DER',
      () => toPem('CERTIFICATE', Buffer.concat([new X509Certificate(pem).raw, Buffer.alloc(3)])),
      /more bytes|something else/,
    ],
    ['too many', () => pem.repeat(65), /more than 64 blocks/],
    ['too long', () => pem + ' '.repeat(256 * 1024), /longer than/],
  ];
  for (const [name, text, message] of damaged) {
    test(`refuses ${name}`, () => assert.throws(() => certificatesFromPem(text()), refusedWith(message)));
  }

  test('limits are the caller’s to set', () => {
    assert.throws(
      () => certificatesFromPem(pem + other, { characters: 10_000, certificates: 1 }),
      refusedWith(/more than 1/),
    );
    assert.throws(() => certificatesFromPem(pem, { characters: 100, certificates: 1 }), refusedWith(/longer than 100/));
  });

  test('takes time in proportion to hostile input, and throws nothing else', () => {
    const hostile = `-----BEGIN CERTIFICATE-----\n${'A\n'.repeat(100_000)}`;
    assert.throws(() => certificatesFromPem(hostile), refusedWith(/something other/));
    const pieces = fc.constantFrom(
      '-----BEGIN CERTIFICATE-----',
      '-----END CERTIFICATE-----',
      '\n',
      '\r\n',
      'AAAA',
      '=',
      ' ',
      'MIIB',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
        assert.throws(() => certificatesFromPem(parts.join('')), refusedWith(/./));
      }),
    );
  });

  test('certificateFromPem wants exactly one', () => {
    assert.equal(certificateFromPem(pem).subject, 'O=test\nCN=ca');
    assert.throws(() => certificateFromPem(pem + other), refusedWith(/more than one/));
  });
});

describe('privateKeyFromPem', () => {
  test('reads PKCS#8 and the older forms that openssl still writes', async () => {
    const rsa = (await generateKeyPair({ algorithm: 'RSA', size: 2048 })).privateKeyPem;
    const pkcs1 = createPrivateKey(rsa).export({ type: 'pkcs1', format: 'pem' }).toString();
    const ecparam = await openssl(['ecparam', '-name', 'prime256v1', '-genkey']);
    assert.match(ecparam, /BEGIN EC PARAMETERS[^]*BEGIN EC PRIVATE KEY/);
    assert.equal(privateKeyFromPem(clientKey.privateKeyPem).asymmetricKeyType, 'ec');
    assert.equal(privateKeyFromPem(ecparam).asymmetricKeyType, 'ec');
    assert(privateKeyFromPem(pkcs1).equals(privateKeyFromPem(rsa)));
  });

  const refused: readonly (readonly [string, () => string, RegExp])[] = [
    ['nothing', () => '', /exactly one private key/],
    ['a certificate', () => pem, /block of CERTIFICATE/],
    ['two keys', () => clientKey.privateKeyPem.repeat(2), /exactly one/],
    [
      'an encrypted key',
      () =>
        createPrivateKey(clientKey.privateKeyPem)
          .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
          .toString(),
      /encrypted: decrypt/,
    ],
    ['a damaged key', () => clientKey.privateKeyPem.replace('MIG', 'MIH'), /cannot be read/],
  ];
  for (const [name, text, message] of refused) {
    test(`refuses ${name}, and says nothing of the key`, () =>
      assert.throws(() => privateKeyFromPem(text()), refusedWith(message)));
  }
});
