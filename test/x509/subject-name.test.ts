import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDn } from '../../src/x509/dn.ts';
import { canonicalSubject, formatSubject, type SubjectName } from '../../src/x509/subject-name.ts';

describe('canonicalSubject', () => {
  const same: readonly (readonly [SubjectName, SubjectName, string])[] = [
    [{ dn: parseDn('CN=A') }, { dn: parseDn('cn=a') }, 'dn:cn=a'],
    [{ dnsName: 'A.example.org' }, { dnsName: 'a.EXAMPLE.org' }, 'dns:a.example.org'],
    [{ uri: 'spiffe://A/b' }, { uri: 'SPIFFE://a/B' }, 'uri:spiffe://a/b'],
    [{ ipAddress: '2001:DB8:0:0::1' }, { ipAddress: '2001:db8::0001' }, 'ip:2001:db8::1'],
    [{ ipAddress: '::ffff:192.0.2.1' }, { ipAddress: '::ffff:c000:201' }, 'ip:::ffff:c000:201'],
    [{ ipAddress: '192.0.2.1' }, { ipAddress: '192.0.2.1' }, 'ip:192.0.2.1'],
    [{ emailAddress: 'A@example.org' }, { emailAddress: 'a@Example.org' }, 'email:a@example.org'],
  ];
  for (const [one, other, canonical] of same) {
    test(canonical, () => {
      assert.equal(canonicalSubject(one), canonical);
      assert.equal(canonicalSubject(other), canonical);
    });
  }

  test('identities of different kinds are different', () => {
    assert.notEqual(canonicalSubject({ dnsName: '192.0.2.1' }), canonicalSubject({ ipAddress: '192.0.2.1' }));
  });
});

test('formatSubject gives what a server is told', () => {
  assert.equal(formatSubject({ dn: parseDn('CN=a\\,b,O=c') }), 'CN=a\\,b,O=c');
  assert.equal(formatSubject({ uri: 'spiffe://A/b' }), 'spiffe://A/b');
  assert.equal(formatSubject({ dnsName: 'A.b' }), 'A.b');
  assert.equal(formatSubject({ ipAddress: '::1' }), '::1');
  assert.equal(formatSubject({ emailAddress: 'a@b' }), 'a@b');
});
