import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import {
  type CertificateVerification,
  decodeCertificateHeader,
  type HeaderLines,
} from '../../src/verifier/certificate-header.ts';
import { clientCertFields } from '../../src/verifier/client-cert.ts';
import { type TerminatorHeaders, type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { xfccDecoder } from '../../src/verifier/xfcc.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';
import { intermediateCa } from '../issuer/authorities.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { ca, der, derOfPem, hashOf, leaf, other, pemOf, vector } from './malformed/material.ts';
import { envoyElement, names, SENDS_CHAIN, sentBy } from './product-headers.ts';

const large = vector('rsa-4096-many-names');

/** The thumbprint of what is accepted, or why nothing is. */
function outcome(
  headers: HeaderLines,
  terminator: TerminatorName | TerminatorHeaders,
  verification: CertificateVerification = 'none',
): string {
  const decoded = decodeCertificateHeader(headers, { terminator, verification });
  return decoded.ok ? x5tS256(decoded.der) : decoded.error.code;
}

for (const name of names) {
  describe(name, () => {
    const row: TerminatorHeaders = terminators[name];

    test('RFC 8705 Appendix A: its certificate comes out whole', () => {
      const decoded = decodeCertificateHeader(sentBy(name, der), { terminator: name, verification: 'none' });
      assert.ok(decoded.ok);
      assert.equal(x5tS256(decoded.der), 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0');
      assert.equal(x5tS256(decoded.certificate), 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0');
      assert.deepEqual(decoded.chain, []);
    });

    test('a certificate as large as they get comes out whole', () => {
      assert.ok(large.length > 3_500);
      assert.equal(outcome(sentBy(name, large), name), x5tS256(large));
    });

    test('the chain that the client sent comes out where the product sends it, else the leaf alone', () => {
      const headers = sentBy(name, leaf, { chain: [ca] });
      const decoded = decodeCertificateHeader(headers, { terminator: name, verification: 'none' });
      assert.ok(decoded.ok);
      assert.ok(leaf.equals(decoded.der));
      assert.deepEqual(decoded.chain, SENDS_CHAIN.has(name) ? [ca] : []);
    });

    test('everything becomes RFC 9440', () => {
      const headers = sentBy(name, leaf, { chain: [ca] });
      const decoded = decodeCertificateHeader(headers, { terminator: name, verification: 'none' });
      assert.ok(decoded.ok);
      const lines = Object.entries(clientCertFields(decoded)).map(([field, value]) => [field, [value]]);
      const again = decodeCertificateHeader(Object.fromEntries(lines), { terminator: 'rfc9440', verification: 'none' });
      assert.deepEqual(again, decoded);
    });

    test('no header, an empty one, and a second line', () => {
      const headers = sentBy(name, der);
      const [line = ''] = headers[row.certificate] ?? [];
      const having = (...lines: string[]) => outcome({ ...headers, [row.certificate]: lines }, name);
      assert.equal(outcome({}, name), 'Absent');
      assert.equal(having(), 'Absent');
      assert.equal(having(''), 'Absent');
      for (const lines of [
        [line, line],
        ['', line],
        [line, ''],
        [line, 'x'],
        [line, line, line],
      ]) {
        assert.equal(having(...lines), 'Repeated');
      }
      if (row.chain === undefined) return;
      assert.equal(outcome({ ...headers, [row.chain]: ['', ''] }, name), 'Repeated');
      assert.equal(outcome({ ...headers, [row.chain]: [''] }, name), x5tS256(der));
    });

    test('names that only look like the header are not read', () => {
      const { [row.certificate]: line, ...headers } = sentBy(name, der);
      const alike = [
        row.certificate.replaceAll('-', '_'),
        row.certificate.toUpperCase(),
        `${row.certificate}s`,
        `x-${row.certificate}`,
        `${row.certificate} `,
      ];
      for (const header of alike) assert.equal(outcome({ ...headers, [header]: line }, name), 'Absent', header);
    });

    test('verification: what the product says of it decides, and where it says nothing, nothing is taken for granted', () => {
      const sent = (verified: boolean) => sentBy(name, der, { verified });
      const accepted = x5tS256(der);
      assert.equal(outcome(sent(true), name, 'none'), accepted);
      assert.equal(outcome(sent(false), name, 'none'), accepted);
      if (row.verification === 'never') {
        assert.equal(outcome(sent(true), name, 'required'), 'NotVerified');
        assert.equal(outcome(sent(true), name, 'assumed'), 'NotVerified');
      } else if (row.verification === 'byConfiguration') {
        assert.equal(outcome(sent(true), name, 'required'), 'VerificationAbsent');
        assert.equal(outcome(sent(true), name, 'assumed'), accepted);
      } else {
        for (const verification of ['required', 'assumed'] as const) {
          assert.equal(outcome(sent(true), name, verification), accepted);
          assert.equal(outcome(sent(false), name, verification), 'NotVerified');
        }
        for (const { header } of row.verification) {
          const [result = ''] = sent(true)[header] ?? [];
          for (const verification of ['required', 'assumed', 'none'] as const) {
            const having = (...lines: string[]) => outcome({ ...sent(true), [header]: lines }, name, verification);
            assert.equal(having(), 'VerificationAbsent');
            assert.equal(having(result, result), 'VerificationRepeated');
            assert.equal(having('', result), 'VerificationRepeated');
            for (const wrong of [
              '',
              `${result} `,
              ` ${result}`,
              `${result},${result}`,
              `${result}x`,
              'NONE',
              'ok',
              '-1',
            ]) {
              assert.equal(having(wrong), 'NotVerified', wrong);
            }
          }
        }
      }
    });
  });
}

test("what one product sends is another's only where both send the same", () => {
  const alike: readonly TerminatorName[][] = [
    ['nginx'],
    ['traefik', 'haproxy', 'openshift', 'cloudflare-der'],
    ['envoy'],
    ['aws-alb', 'aws-alb-passthrough'],
    ['google-cloud', 'cloudflare', 'rfc9440'],
  ];
  assert.deepEqual(alike.flat().toSorted(), names.toSorted());
  for (const from of names) {
    const line = sentBy(from, der)[terminators[from].certificate];
    for (const to of names) {
      const accepted = outcome({ ...sentBy(to, other), [terminators[to].certificate]: line }, to);
      const same = alike.some((group) => group.includes(from) && group.includes(to));
      assert.equal(accepted === x5tS256(der), same, `${from} read as ${to}: ${accepted}`);
      assert.notEqual(accepted, x5tS256(other));
    }
  }
});

test('a chain in one line is read where the product sends it so, and refused elsewhere', () => {
  for (const from of ['traefik', 'aws-alb-passthrough'] as const) {
    const line = sentBy(from, leaf, { chain: [ca] })[terminators[from].certificate];
    for (const to of names) {
      const accepted = outcome({ ...sentBy(to, leaf), [terminators[to].certificate]: line }, to) === x5tS256(leaf);
      assert.equal(accepted, from === to, `${from} read as ${to}`);
    }
  }
});

test('a chain of three is read, and refused in another order', async () => {
  const { certificatePem, privateKeyPem, rootPem } = await intermediateCa();
  const issuer = { certPem: certificatePem, keyPem: privateKeyPem };
  const client = (await createClientCertificate({ subject: 'CN=client', ca: issuer })).der;
  const [sub, root] = [derOfPem(certificatePem), derOfPem(rootPem)];
  for (const name of SENDS_CHAIN) {
    assert.equal(outcome(sentBy(name, client, { chain: [sub, root] }), name), x5tS256(client));
    for (const chain of [[root, sub], [sub, sub], [sub, root, sub], [root]]) {
      assert.equal(outcome(sentBy(name, client, { chain }), name), 'BadChain');
    }
  }
});

test('spellings that say the same are accepted: the case of escapes, no final newline', () => {
  for (const name of ['nginx', 'aws-alb'] as const) {
    const { certificate } = terminators[name];
    const headers = sentBy(name, der);
    const [line = ''] = headers[certificate] ?? [];
    const spelled = (text: string) => outcome({ ...headers, [certificate]: [text] }, name);
    assert.notEqual(line, line.replace(/%0A$/, ''));
    assert.equal(spelled(line.replace(/%0A$/, '')), x5tS256(der));
    assert.equal(spelled(line.replaceAll('%0A', '%0a')), x5tS256(der));
  }
});

test('nginx: the result of verification is read to the letter', () => {
  const expected: [verify: string, required: string, none: string][] = [
    ['SUCCESS', 'accepted', 'accepted'],
    ['FAILED:self-signed certificate', 'NotVerified', 'accepted'],
    ['FAILED:certificate has expired', 'NotVerified', 'accepted'],
    ['FAILED', 'NotVerified', 'NotVerified'],
    ['success', 'NotVerified', 'NotVerified'],
    ['SUCCESSFUL', 'NotVerified', 'NotVerified'],
    ['0', 'NotVerified', 'NotVerified'],
  ];
  for (const [verify, required, none] of expected) {
    const headers = { ...sentBy('nginx', der), 'ssl-client-verify': [verify] };
    const of = (verification: CertificateVerification) =>
      outcome(headers, 'nginx', verification).replace(x5tS256(der), 'accepted');
    assert.deepEqual([of('required'), of('none')], [required, none], verify);
  }
});

test('Cloudflare: a revoked certificate is verified, and not believed', () => {
  const headers = { ...sentBy('cloudflare', der), 'cf-cert-revoked': ['true'] };
  assert.equal(outcome(headers, 'cloudflare', 'required'), 'NotVerified');
  assert.equal(outcome(headers, 'cloudflare', 'none'), x5tS256(der));
});

describe('XFCC', () => {
  const having = (line: string, proxies = 1) =>
    outcome({ 'x-forwarded-client-cert': [line] }, { ...terminators.envoy, decode: xfccDecoder(proxies) });
  const sidecar =
    'By=spiffe://cluster.local/ns/as/sa/as;Hash=00;Subject="";URI=spiffe://cluster.local/ns/istio/sa/gateway';

  test('Cert, Chain, or both', () => {
    const escaped = encodeURIComponent(pemOf(leaf));
    const chain = encodeURIComponent(pemOf(leaf, ca));
    const hash = `Hash=${hashOf(leaf)}`;
    for (const line of [
      `${hash};Cert="${escaped}"`,
      `${hash};Chain="${chain}"`,
      `${hash};Chain="${escaped}"`,
      `${hash};Cert="${escaped}";Chain="${chain}"`,
      `Chain="${chain}";Cert="${escaped}";${hash}`,
      `hash=${hashOf(leaf)};CERT="${escaped}"`,
      `By=a;By=b;${hash};Cert="${escaped}";Subject="";URI=;DNS=a;DNS=b`,
      `${hash};Cert="${escaped}";Subject="O=\\"a;b,c=d\\",CN=x\\\\"`,
    ]) {
      assert.equal(having(line), x5tS256(leaf), line);
    }
  });

  test('as many elements as there are proxies; the first is about the client', () => {
    const client = envoyElement(leaf, [ca]);
    assert.equal(having(client), x5tS256(leaf));
    assert.equal(having(`${client},${sidecar}`, 2), x5tS256(leaf));
    assert.equal(having(`${client},${sidecar}`), 'UnexpectedElements');
    assert.equal(having(client, 2), 'UnexpectedElements');
    assert.equal(having(`${envoyElement(other, [])},${client},${sidecar}`, 2), 'UnexpectedElements');
    assert.equal(having(`${sidecar},${client}`, 2), 'Absent');
  });

  test('a certificate cannot write itself another one by its names', async () => {
    const victim = `Hash=${hashOf(other)};Cert="${encodeURIComponent(pemOf(other))}"`;
    for (const value of [
      `spiffe://x;${victim}`,
      `spiffe://x,${victim}`,
      `x";${victim};DNS="`,
      `x;Chain="${encodeURIComponent(pemOf(other))}"`,
    ]) {
      const attacker = await createClientCertificate({ subject: 'CN=attacker', san: [{ type: 'url', value }] });
      const line = envoyElement(attacker.der, [], [`URI=${value}`]);
      assert.match(having(line), /^[A-Z][A-Za-z]+$/, value);
      assert.notEqual(having(line, 2), x5tS256(other), value);
    }
  });
});

test("PEM of another certificate inside an extension is never taken for the client's certificate", async () => {
  const extension = { oid: '1.3.6.1.4.1.99999.1', value: Buffer.from(`\n${pemOf(other)}`) };
  const carrier = await createClientCertificate({ subject: 'CN=carrier', extensions: [extension] });
  for (const name of names) assert.notEqual(outcome(sentBy(name, carrier.der), name), x5tS256(other), name);
});

test('a row of your own: another name for the header', () => {
  const row = { ...terminators.nginx, certificate: 'x-client-cert' };
  const { 'ssl-client-cert': line, ...headers } = sentBy('nginx', der);
  assert.equal(outcome({ ...headers, 'x-client-cert': line }, row), x5tS256(der));
  assert.equal(outcome(sentBy('nginx', der), row), 'Absent');
});

test('docs/terminators.md has them all, with their headers and what these must say', async () => {
  const page = await readFile(new URL('../../docs/terminators.md', import.meta.url), 'utf8');
  const cells = (text = '') => [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
  const documented = [...page.matchAll(/^\| `([a-z0-9-]+)` *\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm)].map(
    ([, name = '', header, , verification = '']) => {
      const results = cells(verification);
      return [name, ...cells(header), results.length > 0 ? results : verification.trim()];
    },
  );
  const implemented = names.map((name) => {
    const { certificate, verification }: TerminatorHeaders = terminators[name];
    if (typeof verification === 'string') {
      return [name, certificate, verification === 'never' ? 'never' : 'by configuration'];
    }
    const good = (verified: (value: string) => boolean) => ['SUCCESS', '0', 'true', 'false'].filter(verified);
    return [name, certificate, verification.flatMap(({ header, verified }) => [header, ...good(verified)])];
  });
  assert.deepEqual(documented, implemented);
});
