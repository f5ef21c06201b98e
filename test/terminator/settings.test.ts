import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingOwners } from '../../src/terminator/field-managers.ts';
import { projectHTTPProxy } from '../../src/terminator/frontends/http-proxy.ts';
import { bundlesNamedBy } from '../../src/terminator/registry.ts';
import { applied, canonicalJson, settingsOf } from '../../src/terminator/frontends/settings.ts';

const field = 'spec.virtualhost.tls.clientValidation.caSecret';

test('an annotation that is named like a field of the spec is no setting', () => {
  assert.deepEqual(settingsOf({ metadata: { annotations: { [field]: '"x/y"' } }, spec: {} }, new Set([field])), {});
  const owned = { 'f:metadata': { 'f:annotations': { [`f:${field}`]: {} } } };
  const entry = { manager: 'tenant', operation: 'Update', fieldsV1: owned };
  assert.deepEqual(settingOwners([entry], new Set([field])), { own: [], others: {} });
  const proxy = projectHTTPProxy({
    metadata: { namespace: 'a', name: 'b', uid: 'u', resourceVersion: '1', annotations: { [field]: 'no JSON' } },
    spec: { virtualhost: { fqdn: 'api.example.test', tls: { secretName: 'tls' } } },
  });
  assert.deepEqual(bundlesNamedBy(proxy.settings), [], 'and nobody who reads settings stumbles over it');
});

test('what is applied is read back as it was', () => {
  const settings = { 'example.test/a': 'b', 'spec.x.y': canonicalJson({ b: 1, a: [2] }), 'spec.x.z': 'true' };
  const { annotations, spec } = applied(settings);
  assert.deepEqual(spec, { x: { y: { a: [2], b: 1 }, z: true } });
  assert.deepEqual(
    settingsOf({ metadata: { annotations: { ...annotations, other: 'c' } }, spec }, new Set(Object.keys(settings))),
    settings,
  );
});
