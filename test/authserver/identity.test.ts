import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { Subject } from '../../src/api/fields.ts';
import { effectiveIdentity, type Identity, templateProblem } from '../../src/authserver/identity.ts';
import { dnFromDer, dnToDer } from '../../src/x509/dn-name.ts';
import { type Dn, parseDn } from '../../src/x509/dn.ts';

const values = { namespace: 'payments', name: 'batch', clusterId: 'eu1' };

function identity(templates: Subject[] | undefined, requested?: Subject, of = values): Identity {
  const result = effectiveIdentity(templates, requested, of);
  assert.ok('identity' in result, JSON.stringify(result));
  return result.identity;
}
function violation(templates: Subject[] | undefined, requested?: Subject, of = values): string {
  const result = effectiveIdentity(templates, requested, of);
  assert.ok('violation' in result, JSON.stringify(result));
  assert.equal(result.violation.field, 'certificate.subject');
  return result.violation.message;
}

describe('identity templates', () => {
  test('by default a DN of namespace, name and cluster', () => {
    const { parameter, value, subject } = identity(undefined);
    assert.equal(parameter, 'tls_client_auth_subject_dn');
    assert.equal(value, 'CN=payments.batch,OU=eu1');
    assert.deepEqual(subject, { dn: parseDn('CN=payments.batch,OU=eu1') });
    assert.equal(identity([]).value, value);
  });

  test('one client of two clusters has two identities by default, and one where the platform leaves the cluster out', () => {
    const elsewhere = { ...values, clusterId: 'eu2' };
    const [here, there] = [identity(undefined), identity(undefined, undefined, elsewhere)];
    assert.notEqual(here.canonical, there.canonical);
    // Each holds the other's name for a stranger's.
    const asked = { dn: here.value };
    assert.match(violation(undefined, asked, elsewhere), /not granted to this client/);
    const blind: Subject[] = [{ dn: 'CN={name},O={namespace}' }];
    assert.equal(identity(blind).canonical, identity(blind, undefined, elsewhere).canonical);
  });

  const table: [Subject, string, string, string][] = [
    [{ dn: 'CN={name},O={namespace}' }, 'tls_client_auth_subject_dn', 'CN=batch,O=payments', 'dn:cn=batch,o=payments'],
    [
      { dnsName: '{name}.{namespace}.Clients.example.' },
      'tls_client_auth_san_dns',
      'batch.payments.clients.example',
      'dns:batch.payments.clients.example',
    ],
    [
      { uri: 'spiffe://{clusterId}.example/ns/{namespace}/{name}' },
      'tls_client_auth_san_uri',
      'spiffe://eu1.example/ns/payments/batch',
      'uri:spiffe://eu1.example/ns/payments/batch',
    ],
    [{ ipAddress: '2001:DB8:0::7' }, 'tls_client_auth_san_ip', '2001:db8::7', 'ip:2001:db8::7'],
    [
      { emailAddress: '{name}@{namespace}.Example.ORG' },
      'tls_client_auth_san_email',
      'batch@payments.example.org',
      'email:batch@payments.example.org',
    ],
  ];
  for (const [template, parameter, value, canonical] of table) {
    test(`${JSON.stringify(template)} is registered as ${value}`, () => {
      const found = identity([template]);
      assert.deepEqual([found.parameter, found.value, found.canonical], [parameter, value, canonical]);
    });
  }

  test('a requested subject must be one of the templates, and is spelt as the platform spells it', () => {
    const templates = [{ dn: 'CN={name}' }, { dn: 'CN={namespace}-{name},O=Payments' }];
    assert.equal(identity(templates, { dn: 'cn=PAYMENTS-batch,o=payments' }).value, 'CN=payments-batch,O=Payments');
    assert.match(violation(templates, { dn: 'CN=other' }), /not granted/);
    assert.match(violation(templates, { dnsName: 'batch' }), /not granted/);
    assert.match(violation(templates, { dn: 'CN=a;b' }), /not valid/);
    assert.match(violation(templates, {}), /names no identity/);
  });

  test("a tenant's braces are no placeholders", () => {
    assert.match(violation([{ dn: 'CN={name}' }], { dn: 'CN={name}' }), /not granted/);
  });

  test('a template that is none is named, and a second one never stands in for the first', () => {
    assert.match(violation([{ dn: 'CN={nmae}' }, { dn: 'CN={name}' }]), /\{nmae\}/);
    assert.equal(identity([{ dn: 'CN={nmae}' }, { dn: 'CN={name}' }], { dn: 'CN=batch' }).value, 'CN=batch');
    assert.match(templateProblem({ dn: 'CN={name}', uri: 'x:{name}' }) ?? '', /exactly one/);
    assert.match(templateProblem({}) ?? '', /exactly one/);
    assert.match(templateProblem({ ipAddress: '{name}' }) ?? '', /IP address/);
    assert.match(templateProblem({ ipAddress: 'fe80::1%eth0' }) ?? '', /IP address/);
    assert.equal(templateProblem({ dn: 'CN={namespace}.{name},OU={clusterId}' }), undefined);
  });

  test('a name that is too long for a CN says what to do', () => {
    assert.match(violation(undefined, undefined, { ...values, name: 'a'.repeat(60) }), /64[^]*shorter name/);
  });

  test('no value adds or changes an attribute', () => {
    const template = { dn: 'CN={name},O={namespace}+L=x,OU=fixed' };
    const piece = fc.constantFrom(
      ',',
      '+',
      '=',
      '\\',
      '"',
      '#',
      ';',
      ' ',
      'CN=admin',
      ',O=root',
      '{namespace}',
      '{name}',
      'a',
      '\\2C',
    );
    const text = fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join(''));
    let expanded = 0;
    fc.assert(
      fc.property(text, text, (name, namespace) => {
        const result = effectiveIdentity([template], undefined, { name, namespace, clusterId: 'eu1' });
        if (!('identity' in result)) return;
        expanded += 1;
        const wanted = [
          [{ type: 'CN', value: name }],
          [
            { type: 'O', value: namespace },
            { type: 'L', value: 'x' },
          ],
          [{ type: 'OU', value: 'fixed' }],
        ];
        const byType = (dn: Dn) => dn.map((rdn) => rdn.toSorted((a, b) => (a.type < b.type ? 1 : -1)));
        assert.deepEqual(byType(parseDn(result.identity.value)), wanted);
        const { subject } = result.identity;
        assert.ok('dn' in subject);
        assert.deepEqual(byType(dnFromDer(dnToDer(subject.dn))), wanted);
      }),
    );
    assert.ok(expanded > 10);
  });

  test('a value in a URI stays one piece of it', () => {
    const { value } = identity([{ uri: 'spiffe://example.org/{namespace}/{name}' }], undefined, {
      ...values,
      name: '../x?y#z',
    });
    assert.equal(value, 'spiffe://example.org/payments/..%2Fx%3Fy%23z');
  });
});
