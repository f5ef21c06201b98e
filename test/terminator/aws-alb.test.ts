import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRUST_STORE } from '../../src/api/annotations.ts';
import { awsAlb } from '../../src/terminator/drivers/aws-alb.ts';

const MUTUAL_AUTHENTICATION = 'alb.ingress.kubernetes.io/mutual-authentication';
const LISTEN_PORTS = 'alb.ingress.kubernetes.io/listen-ports';
const arn = 'arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:truststore/clients/0123456789abcdef';
const rendered = (settings: Record<string, string>) =>
  awsAlb.render({
    bundle: { namespace: 'payments', name: 'certbound-trust-1' },
    frontend: { namespace: 'payments', name: 'api', settings },
    mode: 'required',
    depth: 1,
  }).settings;

test('every HTTPS port verifies against the trust store that the owner names', () => {
  const settings = { [TRUST_STORE]: arn, [LISTEN_PORTS]: '[{"HTTPS": 8443, "HTTP": 80}, {"HTTPS": 443}]' };
  assert.deepEqual(rendered(settings), {
    [MUTUAL_AUTHENTICATION]: `[{"port":443,"mode":"verify","trustStore":"${arn}"},{"port":8443,"mode":"verify","trustStore":"${arn}"}]`,
  });
  assert.deepEqual(rendered({ [LISTEN_PORTS]: settings[LISTEN_PORTS] }), {});
});

test('a port that does not verify lets forged headers through, as far as anybody says', () => {
  const own = { [LISTEN_PORTS]: '[{"HTTPS":443},{"HTTPS":8443}]' };
  const entry = (port: number, more: object) => ({ port, ...more });
  const verify = { mode: 'verify', trustStore: arn };
  for (const [entries, overwritten] of [
    [[entry(443, verify), entry(8443, verify)], true],
    [[entry(443, verify)], false],
    [[entry(443, verify), entry(8443, { mode: 'passthrough' })], false],
    [[entry(443, verify), entry(8443, { mode: 'verify' })], false],
  ] as const) {
    const settings = { ...own, [MUTUAL_AUTHENTICATION]: JSON.stringify(entries) };
    assert.equal(awsAlb.overwritesHeaders(settings), overwritten, JSON.stringify(entries));
  }
  for (const none of ['', '{', '[]', 'null'])
    assert.equal(awsAlb.overwritesHeaders({ ...own, [MUTUAL_AUTHENTICATION]: none }), false, none);
});
